import { mkdir, mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  chatMlSpecialTokens,
  chatMlTokenizerFiles,
  type DecoderConfig,
  fuseDecoder,
  groupsPerRow,
  type Linear,
  type LinearFormat,
  trainByteLevelBpe,
  weightShapes,
  writeWeights,
} from '@edgedesk/models';
import { encodeModel } from '@edgedesk/tensor';
import { openFolder } from '@edgedesk/tensor/node';
import { loadEngine, type LoadOptions } from '@edgedesk/runtime';
import { nodeBackend } from '@edgedesk/tensor/node';
import { tinyConfig as smallest } from '../../models/src/decoder/decoder.case.js';

/** A decoder that runs in a millisecond, with several key/value heads and layers. */
export const tinyConfig: DecoderConfig = {
  ...smallest,
  vocabSize: 320,
  layerCount: 3,
  contextLength: 160,
  eosTokenIds: [2, 0],
};

export const dense: LinearFormat = { kind: 'dense', storage: 'f32' };
export const int4: LinearFormat = { kind: 'nbit', bits: 4, groupSize: 16, asymmetric: false };

/** A stream of numbers in [0, 1) (xorshift32). */
export function randomNumbers(seed: number): () => number {
  let s = seed;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) / 2 ** 32;
  };
}

export interface CaseOptions {
  readonly config?: Partial<DecoderConfig>;
  readonly formatOf?: (weight: string) => LinearFormat;
  readonly seed?: number;
}

const words = [
  'Where is my order? Your parcel leaves the warehouse tomorrow.',
  'I want my money back. We refund within three working days.',
  '我的订单在哪里？包裹明天从仓库发出，三个工作日内送达。',
];

/** Writes an artefact with random weights and a real tokenizer to a temporary folder; `remove` deletes it. */
export async function writeArtefact(
  options: CaseOptions = {},
): Promise<{ folder: string; config: DecoderConfig; remove: () => Promise<void> }> {
  const config = { ...tinyConfig, ...options.config };
  const { formatOf = () => dense, seed = 7 } = options;
  const folder = await mkdtemp(join(tmpdir(), 'edgedesk-runtime-'));
  await mkdir(join(folder, 'onnx'));
  const fused = fuseDecoder(config, { dataFile: 'model.onnx_data', formatOf, accuracyLevel: 1 });
  await writeFile(join(folder, 'onnx/model.onnx'), encodeModel(fused.graph));
  const shapes = weightShapes(config);
  const random = randomNumbers(seed);
  const data = await open(join(folder, 'onnx/model.onnx_data'), 'w');
  await writeWeights(
    fused.units,
    {
      linear: (name) =>
        Promise.resolve(randomLinear(shapes.get(name) as [number, number], formatOf(name), random)),
      vector: (name) =>
        Promise.resolve(
          Float32Array.from({ length: shapes.get(name)![0]! }, () =>
            name.endsWith('norm.weight') ? 0.8 + 0.4 * random() : 0.2 * (random() - 0.5),
          ),
        ),
    },
    async (offset, bytes) => {
      await data.write(bytes, 0, bytes.byteLength, offset);
    },
  );
  await data.close();
  const tokenizer = await trainByteLevelBpe(words, {
    vocabSize: Math.min(config.vocabSize, 320),
    specialTokens: chatMlSpecialTokens,
  });
  for (const [name, content] of chatMlTokenizerFiles(tokenizer, config.contextLength)) {
    await writeFile(join(folder, name), content);
  }
  const paths = ['onnx/model.onnx', 'onnx/model.onnx_data', 'tokenizer.json', 'tokenizer_config.json'];
  const files = await Promise.all(
    paths.map(async (path) => ({
      path,
      sizeBytes: (await stat(join(folder, path))).size,
      sha256: '0'.repeat(64),
    })),
  );
  const parameters = [...shapes.values()].reduce((sum, s) => sum + s.reduce((a, b) => a * b, 1), 0);
  const sizeBytes = files[0]!.sizeBytes + files[1]!.sizeBytes;
  const manifest = {
    format: 1,
    name: 'tiny',
    model: 'onnx/model.onnx',
    config,
    quantization: { default: formatOf(''), overrides: {} },
    parameters,
    sizeBytes,
    bitsPerWeight: (8 * sizeBytes) / parameters,
    provenance: [],
    files,
  };
  await writeFile(join(folder, 'edgedesk.json'), JSON.stringify(manifest));
  return { folder, config, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** The engine of `folder` in this thread. */
export function openHere(folder: string, options: Partial<LoadOptions> = {}) {
  return loadEngine({
    store: openFolder(folder),
    backend: nodeBackend(),
    externalData: join(folder, 'onnx'),
    threads: 1,
    ...options,
  });
}

function randomLinear(shape: [number, number], format: LinearFormat, random: () => number): Linear {
  const [rows, columns] = shape;
  const spread = 3 / Math.sqrt(columns);
  if (format.kind === 'dense') {
    const weight = Float32Array.from({ length: rows * columns }, () => spread * (2 * random() - 1));
    return { kind: 'dense', shape, storage: format.storage, weight };
  }
  const { bits, groupSize } = format;
  return {
    kind: 'nbit',
    shape,
    bits,
    groupSize,
    levels: Uint8Array.from({ length: rows * columns }, () => Math.floor(random() * 2 ** bits)),
    // A power of two is exact in binary16.
    scales: new Float32Array(rows * groupsPerRow(columns, groupSize)).fill(
      2 ** Math.round(Math.log2((2 * spread) / 2 ** bits)),
    ),
  };
}
