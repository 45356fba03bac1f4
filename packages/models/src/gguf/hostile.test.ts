import { type ByteSource, CheckpointError, EdgeDeskError, memorySource } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import { seeded } from '../checkpoint/memory-store.case.js';
import { weightShapes } from '../config.js';
import { ggufFixture } from './gguf.case.js';
import { ggufLimits } from './limits.js';
import { openGguf } from './open-gguf.js';
import { readContainer } from './read-container.js';

const valid = ggufFixture('qwen3');
const random = seeded(20);
const below = (n: number): number => Math.floor(random() * n);
/** Metadata and tensor list end here. */
const headerEnd = await (async () => {
  const { tensors } = await readContainer(memorySource('valid', valid));
  return Math.min(...[...tensors.values()].map(({ offset }) => offset));
})();
const interesting = [0, 1, 2, 8, 9, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

/** Opens the file and reads every weight. Counts what is read; a read outside the file is a bug. */
async function load(bytes: Uint8Array): Promise<{ error: unknown; bytesRead: number; closed: boolean }> {
  const seen = { error: undefined as unknown, bytesRead: 0, closed: false };
  const memory = memorySource('mutated.gguf', bytes);
  const source: ByteSource = {
    name: memory.name,
    sizeBytes: memory.sizeBytes,
    read: (offset, length) => {
      seen.bytesRead += length;
      return memory.read(offset, length);
    },
    close: () => {
      seen.closed = true;
      return Promise.resolve();
    },
  };
  try {
    const { config, tokenizer, weights } = await openGguf(source);
    for (const name of weightShapes(config).keys()) await weights.readF32(name);
    tokenizer.decode(tokenizer.encode('Hello 你好 <|im_start|>', { allowSpecial: true }));
    await weights.close();
  } catch (error) {
    seen.error = error;
  }
  return seen;
}

async function survives(bytes: Uint8Array, what: string): Promise<boolean> {
  const { error, bytesRead, closed } = await load(bytes);
  if (error !== undefined && !EdgeDeskError.isInstance(error)) throw new Error(`${what}: ${String(error)}`, { cause: error });
  if (!closed) throw new Error(`${what}: left open`);
  // The header is read again where a window ends; a tensor is read once, the embedding not twice.
  if (bytesRead > 3 * bytes.length) throw new Error(`${what}: read ${bytesRead} bytes of ${bytes.length}`);
  if (EdgeDeskError.isInstance(error) && error.sentence.length > 600) throw new Error(`${what}: ${error.sentence}`);
  return error === undefined;
}

describe('mutated files', () => {
  it('opens when nothing is changed', async () => {
    expect(await survives(valid, 'unchanged')).toBe(true);
  });

  it('gives a sentence or a model for 300 files with changed bytes', async () => {
    let opened = 0;
    for (let i = 0; i < 300; i++) {
      const bytes = valid.slice();
      const count = 1 + below(4);
      for (let k = 0; k < count; k++) bytes[below(headerEnd)] = below(256);
      if (await survives(bytes, `bytes ${i}`)) opened++;
    }
    // Changed texts and ids of tokens make another tokenizer, not a broken one.
    expect(opened).toBeGreaterThan(0);
    expect(opened).toBeLessThan(300);
  });

  it('gives a sentence or a model for 200 files with changed lengths and offsets', async () => {
    const view = new DataView(valid.buffer);
    const words: number[] = [];
    // 64-bit lengths and offsets have an empty upper half.
    for (let at = 4; at + 8 <= headerEnd; at++) if (view.getUint32(at + 4, true) === 0) words.push(at);
    for (let i = 0; i < 200; i++) {
      const bytes = valid.slice();
      const at = words[below(words.length)]!;
      const out = new DataView(bytes.buffer);
      out.setUint32(at, interesting[below(interesting.length)]!, true);
      if (below(2) === 0) out.setUint32(at + 4, interesting[below(interesting.length)]!, true);
      await survives(bytes, `word ${i} at ${at}`);
    }
  });

  it('refuses 150 files cut off anywhere', async () => {
    for (let i = 0; i < 150; i++) {
      const end = i < 100 ? below(headerEnd) : headerEnd + below(valid.length - headerEnd - 1);
      expect(await survives(valid.slice(0, end), `cut at ${end}`)).toBe(false);
    }
  });

  it('gives a sentence or a model for 50 files with parts moved', async () => {
    for (let i = 0; i < 50; i++) {
      const bytes = valid.slice();
      const length = below(512);
      bytes.copyWithin(below(headerEnd - length), below(headerEnd - length), below(headerEnd));
      await survives(bytes, `moved ${i}`);
    }
  });
});

const u32 = (x: number): number[] => [...new Uint8Array(Uint32Array.of(x).buffer)];
const u64 = (x: bigint): number[] => [...new Uint8Array(BigUint64Array.of(x).buffer)];
const text = (s: string): number[] => [...u64(BigInt(s.length)), ...new TextEncoder().encode(s)];
const head = (tensors: bigint, keys: bigint, version = 3): number[] => [
  ...text('GGUF').slice(8),
  ...u32(version),
  ...u64(tensors),
  ...u64(keys),
];
const huge = 2n ** 62n;
const tensorAt = (name: string, offset: bigint): number[] => [
  ...text(name),
  ...u32(1),
  ...u64(8n),
  ...u32(0),
  ...u64(offset),
];

describe('files made to hurt', () => {
  it.each<[string, number[], RegExp]>([
    ['no GGUF', [...text('not a gguf file at all')], /does not begin with GGUF/],
    ['nothing', [], /in the middle of its header/],
    ['version 1', head(0n, 0n, 1), /version 1 is not supported/],
    ['big endian', head(0n, 0n, 0x03000000), /big endian/],
    ['2^62 tensors', head(huge, 0n), /announces 4611686018427388000 tensors/],
    ['2^62 keys', head(0n, huge), /metadata keys/],
    ['a key of 2^62 bytes', [...head(0n, 1n), ...u64(huge)], /metadata key 1 has 4611686018427388000 bytes/],
    ['a text past the end', [...head(0n, 1n), ...text('a'), ...u32(8), ...u64(1000n)], /in the middle of its header/],
    ['a text of 2^40 bytes', [...head(0n, 1n), ...text('a'), ...u32(8), ...u64(2n ** 40n)], /more than the 1048576/],
    ['2^40 numbers', [...head(0n, 1n), ...text('a'), ...u32(9), ...u32(0), ...u64(2n ** 40n)], /more than 4194304/],
    ['4 million texts', [...head(0n, 1n), ...text('a'), ...u32(9), ...u32(8), ...u64(2n ** 22n)], /in the middle/],
    ['4 million numbers', [...head(0n, 1n), ...text('a'), ...u32(9), ...u32(12), ...u64(2n ** 22n)], /in the middle/],
    ['a key twice', [...head(0n, 2n), ...text('a'), ...u32(0), 1, ...text('a'), ...u32(0), 1], /`a` comes twice/],
    ['an unknown type', [...head(0n, 1n), ...text('a'), ...u32(13), ...u64(0n)], /unknown type 13/],
    ['text that is no text', [...head(0n, 1n), ...u64(1n), 0xff, ...u64(0n)], /not UTF-8/],
    [
      'arrays of arrays of arrays',
      [...head(0n, 1n), ...text('a'), ...u32(9), ...Array.from({ length: 9 }, () => [...u32(9), ...u64(1n)]).flat(), ...u64(0n)],
      /nested more than 4 deep/,
    ],
    ['an alignment of 3', [...head(0n, 1n), ...text('general.alignment'), ...u32(4), ...u32(3)], /alignment 3/],
    ['an alignment of 0', [...head(0n, 1n), ...text('general.alignment'), ...u32(4), ...u32(0)], /alignment 0/],
    ['a tensor past the end', [...head(1n, 0n), ...tensorAt('t', 0n)], /`t` ends at byte/],
    ['a tensor at 2^62', [...head(1n, 0n), ...tensorAt('t', huge)], /`t` ends at byte/],
    ['a tensor between alignments', [...head(1n, 0n), ...tensorAt('t', 4n)], /not aligned/],
    ['two tensors in one place', [...head(2n, 0n), ...tensorAt('s', 0n), ...tensorAt('t', 0n), ...u64(0n), ...new Array<number>(99).fill(0)], /`t` overlaps/],
    ['a tensor twice', [...head(2n, 0n), ...tensorAt('t', 0n), ...tensorAt('t', 32n)], /`t` comes twice/],
    ['no dimensions', [...head(1n, 0n), ...text('t'), ...u32(0), ...u64(0n)], /has 0 dimensions/],
    ['5 dimensions', [...head(1n, 0n), ...text('t'), ...u32(5), ...u64(0n)], /has 5 dimensions/],
    ['an empty dimension', [...head(1n, 0n), ...text('t'), ...u32(1), ...u64(0n), ...u32(0), ...u64(0n)], /has the shape \[0\]/],
    ['2^80 elements', [...head(1n, 0n), ...text('t'), ...u32(2), ...u64(2n ** 40n), ...u64(2n ** 40n), ...u32(0), ...u64(0n)], /has the shape/],
    ['half a block', [...head(1n, 0n), ...text('t'), ...u32(1), ...u64(48n), ...u32(8), ...u64(0n)], /not whole Q8_0 blocks/],
    ['a type we do not read', [...head(1n, 0n), ...text('t'), ...u32(1), ...u64(256n), ...u32(10), ...u64(0n)], /type Q2_K, which is not/],
    ['no type', [...head(1n, 0n), ...text('t'), ...u32(1), ...u64(256n), ...u32(999), ...u64(0n)], /type number 999/],
  ])('%s', async (_, bytes, sentence) => {
    await expect(openGguf(memorySource('made.gguf', Uint8Array.from(bytes)))).rejects.toThrow(sentence);
    await expect(openGguf(memorySource('made.gguf', Uint8Array.from(bytes)))).rejects.toThrow(CheckpointError);
  });

  it('a header without end', async () => {
    let furthest = 0;
    const start = head(0n, 1n).concat(text('a'), u32(9), u32(8), u64(2n ** 22n));
    // A list of four million texts of 64 KiB each: their lengths lie this far apart.
    const textBytes = 2 ** 16;
    const period = 8 + textBytes;
    const source: ByteSource = {
      name: 'endless.gguf',
      sizeBytes: 2 ** 50,
      read: (offset, length) => {
        furthest = Math.max(furthest, offset + length);
        const bytes = new Uint8Array(length);
        const view = new DataView(bytes.buffer);
        if (offset === 0) bytes.set(start);
        const first = Math.ceil(Math.max(0, offset - start.length) / period);
        for (let at = start.length + first * period - offset; at + 4 <= length; at += period) {
          view.setUint32(at, textBytes, true);
        }
        return Promise.resolve(bytes);
      },
      close: () => Promise.resolve(),
    };
    await expect(openGguf(source)).rejects.toThrow(/more than the 67108864 bytes allowed/);
    expect(furthest).toBeLessThanOrEqual(ggufLimits.maxHeaderBytes);
  });
});
