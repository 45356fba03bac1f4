import type { ByteSource } from '@edgedesk/tensor';
import { memorySource } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import { mutations } from '../../../tensor/src/mutations.case.js';
import { survive } from '../../../tensor/src/node/hostile-input.case.js';
import { memoryFolder, memoryStore } from '../checkpoint/memory-store.case.js';
import { openWeights } from '../checkpoint/open-weights.js';
import { writeSafetensors } from '../checkpoint/write-safetensors.js';
import { weightShapes } from '../config.js';
import { ggufFixture } from '../gguf/gguf.case.js';
import { openGguf } from '../gguf/open-gguf.js';
import { readContainer } from '../gguf/read-container.js';

/** The files have 140 kB at most; what is read of one is a few copies of it, and a window of 1 MiB on its header. */
const limits = { arrayBufferBytes: 16 * 2 ** 20, residentBytes: 256 * 2 ** 20 };

/** `bytes` as a file that counts what is read of it, and whether it was closed. */
function counted(bytes: Uint8Array): { source: ByteSource; check: () => void } {
  let bytesRead = 0;
  let closed = false;
  const memory = memorySource('mutated', bytes);
  const source: ByteSource = {
    ...memory,
    read: (offset, length) => {
      bytesRead += length;
      return memory.read(offset, length);
    },
    close: () => {
      closed = true;
      return Promise.resolve();
    },
  };
  return {
    source,
    check: () => {
      if (!closed) throw new Error('the file was left open');
      // The header is read again where a window ends; a tensor is read once, the embedding not twice.
      if (bytesRead > 3 * bytes.length) throw new Error(`${bytesRead} of ${bytes.length} bytes were read`);
    },
  };
}

describe('1,000 mutated GGUF files', () => {
  it.each([
    ['llama', 1],
    ['qwen2', 2],
    ['qwen3', 3],
    ['types', 4],
  ])('%s: each opens or is refused in one sentence', async (fixture, seed) => {
    const valid = ggufFixture(fixture);
    const { tensors } = await readContainer(memorySource('valid', valid));
    const headerEnd = Math.min(...[...tensors.values()].map(({ offset }) => offset));
    const read = async (bytes: Uint8Array): Promise<void> => {
      const { source, check } = counted(bytes);
      try {
        const { config, tokenizer, weights } = await openGguf(source);
        for (const name of weightShapes(config).keys()) await weights.readF32(name);
        tokenizer.decode(tokenizer.encode('Hello 你好 <|im_start|>', { allowSpecial: true }));
        await weights.close();
      } finally {
        check();
      }
    };
    const outcome = await survive(mutations(valid, { seed, count: 250, headerEnd }), read, limits);
    expect(outcome.refused).toBeGreaterThan(100);
  });
});

describe('1,000 mutated safetensors files', () => {
  const shapes = [[16, 24], [40], [8, 5, 3], []];
  const values = (shape: readonly number[]) =>
    Float32Array.from({ length: shape.reduce((product, d) => product * d, 1) }, (_, i) => i / 7);

  it.each(['f32', 'f16', 'bf16'] as const)('%s: each opens or is refused in one sentence', async (dtype) => {
    const folder = memoryFolder();
    await writeSafetensors(
      shapes.map((shape, i) => ({
        name: `layers.${i}.权重`,
        shape,
        dtype,
        read: () => Promise.resolve(values(shape)),
      })),
      folder,
    );
    const valid = folder.files['model.safetensors']!;
    const headerEnd = 8 + Number(new DataView(valid.buffer).getBigUint64(0, true));
    const read = async (bytes: Uint8Array): Promise<void> => {
      const { source, check } = counted(bytes);
      try {
        const weights = await openWeights({ ...memoryStore({ 'model.safetensors': '' }), open: () => Promise.resolve(source) });
        try {
          for (const name of weights.tensors.keys()) await weights.readF32(name);
        } finally {
          await weights.close();
        }
      } finally {
        check();
      }
    };
    const options = { seed: dtype.length + dtype.charCodeAt(0), count: 334, headerEnd, text: true };
    const outcome = await survive(mutations(valid, options), read, limits);
    expect(outcome.refused).toBeGreaterThan(200);
    expect(outcome.accepted).toBeGreaterThan(0);
  });
});
