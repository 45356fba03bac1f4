import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Session, Tensor } from '@edgedesk/tensor';
import { encodeModel, tensor } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DecoderConfig } from '../config.js';
import { weightShapes } from '../config.js';
import { randomNBit } from '../linear/linear.case.js';
import type { Linear, LinearFormat } from '../linear/linear.js';
import { toDense } from '../linear/to-dense.js';
import { randomWeights, tinyConfig } from './decoder.case.js';
import { expandedLogits } from './expanded-logits.case.js';
import { referenceConfigs, referenceWeight } from './reference.case.js';
import { writeWeights } from './fuse-data.js';
import { fuseDecoder } from './fuse.js';

const f32: LinearFormat = { kind: 'dense', storage: 'f32' };
const f16: LinearFormat = { kind: 'dense', storage: 'f16' };
const int4: LinearFormat = { kind: 'nbit', bits: 4, groupSize: 32, asymmetric: false };
const int4zero: LinearFormat = { ...int4, asymmetric: true };
const int8: LinearFormat = { ...int4, bits: 8 };

interface Case {
  readonly name: string;
  readonly config: DecoderConfig;
  readonly format: (weight: string) => LinearFormat;
  /** @default random ones */
  readonly weights?: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
}

/** Sizes that ONNX Runtime's kernels take: half of what is rotated is a multiple of 8. */
const gemma: DecoderConfig = {
  ...tinyConfig,
  modelType: 'gemma3_text',
  qkNorm: true,
  ropeScaling: { kind: 'linear', factor: 8 },
  local: { window: 5, layers: [true, false], ropeTheta: 100 },
  attentionScale: 1 / Math.sqrt(20),
  embeddingScale: Math.sqrt(48),
  activation: 'gelu',
  outputNorms: true,
};
const factors = (step: number): number[] => Array.from({ length: 8 }, (_, i) => 1 + i * step);
const phi = (originalContext: number): DecoderConfig => ({
  ...tinyConfig,
  modelType: 'phi3',
  headDim: 32,
  rotaryDim: 16,
  ropeScaling: { kind: 'longrope', shortFactors: factors(0.25), longFactors: factors(1), originalContext, magnitude: 1.2 },
});

const untied = { ...tinyConfig, tiedEmbedding: false };
const cases: readonly Case[] = [
  { name: 'f32, tied', config: tinyConfig, format: () => f32 },
  { name: 'f16, tied', config: tinyConfig, format: () => f16 },
  { name: 'f32, untied, q/k/v bias', config: { ...untied, qkvBias: true }, format: () => f32 },
  { name: 'f32, tied, q/k norm', config: { ...tinyConfig, qkNorm: true }, format: () => f32 },
  { name: 'int4, tied (groups of 32 in 48 columns)', config: tinyConfig, format: () => int4 },
  { name: 'int4 asymmetric, tied', config: tinyConfig, format: () => int4zero },
  { name: 'int8, untied, q/k/v bias', config: { ...untied, qkvBias: true }, format: () => int8 },
  { name: 'int4, tied, q/k norm', config: { ...tinyConfig, qkNorm: true }, format: () => int4 },
  { name: 'f32, gemma3', config: gemma, format: () => f32 },
  { name: 'int4, gemma3', config: gemma, format: () => int4 },
  { name: 'int8, gemma3', config: gemma, format: () => int8 },
  { name: 'f32, phi3 within its first context', config: phi(12), format: () => f32 },
  { name: 'int4, phi3 and a window', config: { ...phi(12), local: { window: 3, layers: [true, true] } }, format: () => int4 },
  {
    name: 'mixed: v and up in int8, the rest int4; embedding f16',
    config: { ...tinyConfig, qkvBias: true },
    format: (weight) => (/embed/.test(weight) ? f16 : /v_proj|up_proj/.test(weight) ? int8 : int4),
  },
];

const backend = nodeBackend();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'edgedesk-fuse-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** The case's linear weights as values and all its weights as numbers. */
function makeWeights({ config, format, weights }: Case) {
  const dense = new Map(weights ?? randomWeights(config));
  const linears = new Map<string, Linear>();
  let seed = 1;
  for (const [name, shape] of weightShapes(config)) {
    if (shape.length !== 2) continue;
    const wanted = format(name);
    const size = [shape[0]!, shape[1]!] as const;
    const linear: Linear =
      wanted.kind === 'dense'
        ? { ...wanted, shape: size, weight: dense.get(name)! }
        : randomNBit(wanted, size, seed++);
    linears.set(name, linear);
    dense.set(name, toDense(linear));
  }
  return { dense, linears };
}

type Cache = Record<string, Tensor>;

async function step(session: Session, ids: readonly number[], cache: Cache) {
  const past = cache['past_key_values.0.key']!.shape[2]!;
  const total = past + ids.length;
  const result = await session.run({
    input_ids: tensor.i64(ids, [1, ids.length]),
    attention_mask: tensor.i64(new Array<number>(total).fill(1), [1, total]),
    ...cache,
  });
  const next: Cache = {};
  for (const [name, value] of Object.entries(result)) {
    if (name !== 'logits') next[name.replace('present', 'past_key_values')] = value;
  }
  return { logits: result.logits!, cache: next };
}

function emptyCache(config: DecoderConfig): Cache {
  const { layerCount, kvHeadCount, headDim } = config;
  return Object.fromEntries(
    Array.from({ length: layerCount }, (_, i) => i).flatMap((i) =>
      ['key', 'value'].map((kind) => [
        `past_key_values.${i}.${kind}`,
        tensor.zeros([1, kvHeadCount, 0, headDim]),
      ]),
    ),
  );
}

/** Largest difference relative to the largest expected value. */
function deviation(got: Float32Array, expected: Float32Array): number {
  expect(got.length).toBe(expected.length);
  const scale = expected.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
  return got.reduce((worst, x, i) => Math.max(worst, Math.abs(x - expected[i]!)), 0) / scale;
}

/** The case as other runtimes load it. */
async function fusedSession(example: Case, accuracyLevel: 1 | 4): Promise<Session> {
  const { config, format } = example;
  const { dense, linears } = makeWeights(example);
    const dataFile = 'weights.data';
    const model = fuseDecoder(config, { dataFile, formatOf: format, accuracyLevel });
    const data = new Uint8Array(model.dataSizeBytes);
    await writeWeights(
      model.units,
      {
        linear: (name) => Promise.resolve(linears.get(name)!),
        vector: (name) => Promise.resolve(dense.get(name)!),
      },
      (offset, bytes) => Promise.resolve(data.set(bytes, offset)),
    );
    await writeFile(join(folder, dataFile), data);
    return backend.createSession(encodeModel(model.graph), { externalData: folder, threads: 1, spin: false });
  }

describe.each(cases)('$name', (example) => {
  const { config } = example;
  const { dense } = makeWeights(example);
  const ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];

  const fused = (accuracyLevel: 1 | 4): Promise<Session> => fusedSession(example, accuracyLevel);

  it('fuse agrees with expand, in one go and with a cache', async () => {
    const expected = await expandedLogits(config, (name) => dense.get(name)!, ids);
    const session = await fused(1);
    const whole = await step(session, ids, emptyCache(config));
    // f32 throughout; kernels sum in different orders
    expect(deviation(whole.logits.data as Float32Array, expected)).toBeLessThan(2e-5);

    const logits: number[] = [];
    let cache = emptyCache(config);
    for (const piece of [ids.slice(0, 5), ids.slice(5, 6), ids.slice(6, 7), ids.slice(7)]) {
      const result = await step(session, piece, cache);
      logits.push(...(result.logits.data as Float32Array));
      cache = result.cache;
    }
    expect(deviation(Float32Array.from(logits), expected)).toBeLessThan(2e-5);
    await session.release();
  });

  it('keeps a batch apart and pads on the right', async () => {
    const session = await fused(1);
    const short = ids.slice(0, 7);
    const alone = await step(session, short, emptyCache(config));
    const cache = Object.fromEntries(
      Object.keys(emptyCache(config)).map((name) => [
        name,
        tensor.zeros([2, config.kvHeadCount, 0, config.headDim]),
      ]),
    );
    const padded = short.concat(new Array<number>(ids.length - short.length).fill(0));
    const mask = (length: number) => ids.map((_, i) => (i < length ? 1 : 0));
    const { logits } = await session.run({
      input_ids: tensor.i64([...padded, ...ids], [2, ids.length]),
      attention_mask: tensor.i64([...mask(short.length), ...mask(ids.length)], [2, ids.length]),
      ...cache,
    });
    const first = (logits!.data as Float32Array).subarray(0, short.length * config.vocabSize);
    expect(deviation(first, alone.logits.data as Float32Array)).toBeLessThan(2e-5);
    await session.release();
  });

  it('int8 activations stay close', async () => {
    const expected = await expandedLogits(config, (name) => dense.get(name)!, ids);
    const session = await fused(4);
    const { logits } = await step(session, ids, emptyCache(config));
    // random weights amplify the rounding of activations to 8 bits over two layers
    expect(deviation(logits.data as Float32Array, expected)).toBeLessThan(0.05);
    await session.release();
  });
});

const reference = JSON.parse(
  readFileSync(new URL('fixtures/reference-logits.json', import.meta.url), 'utf8'),
) as { tokens: number[]; models: Record<string, number[][]> };

/** Those of the references whose heads ONNX Runtime's attention takes. */
it.each(['llama-untied', 'qwen3-qk-norm', 'llama-llama3', 'gemma3'])(
  'fused, %s has the logits of transformers in float64',
  async (label) => {
    const config = referenceConfigs[label]!;
    const weights = new Map([...weightShapes(config)].map(([name, shape]) => [name, referenceWeight(name, shape)]));
    const session = await fusedSession({ name: label, config, format: () => f32, weights }, 1);
    const { logits } = await step(session, reference.tokens, emptyCache(config));
    expect(deviation(logits.data as Float32Array, Float32Array.from(reference.models[label]!.flat()))).toBeLessThan(2e-5);
    await session.release();
  },
);

it('takes the other frequencies of LongRoPE once the text is longer than the first context', async () => {
  const example: Case = { name: 'long', config: phi(8), format: () => f32 };
  const { dense } = makeWeights(example);
  const ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];
  const session = await fusedSession(example, 1);
  for (const length of [8, 9, 12]) {
    const expected = await expandedLogits(example.config, (name) => dense.get(name)!, ids.slice(0, length));
    const { logits } = await step(session, ids.slice(0, length), emptyCache(example.config));
    expect(deviation(logits.data as Float32Array, expected)).toBeLessThan(2e-5);
  }
  await session.release();
});

it('names the sizes of its inputs as transformers.js resolves them', () => {
  const { graph } = fuseDecoder(tinyConfig, { dataFile: 'w', formatOf: () => f32 });
  expect(Object.fromEntries(graph.inputs.map((v) => [v.name, v.shape]))).toMatchObject({
    input_ids: ['batch_size', 'sequence_length'],
    attention_mask: ['batch_size', 'total_sequence_length'],
    'past_key_values.1.value': ['batch_size', 2, 'past_sequence_length', 16],
  });
});

describe('the data file', () => {
  it('holds a tied table once and stacks q, k, v and gate, up', () => {
    const model = fuseDecoder(tinyConfig, { dataFile: 'w', formatOf: () => int4 });
    const stacked = model.units.filter((u) => u.format !== null).map((u) => u.weights.length);
    expect(stacked).toEqual([1, 3, 1, 2, 1, 3, 1, 2, 1]);
    const placed = model.units.flatMap((u) => u.parts).sort((a, b) => a.offset - b.offset);
    placed.forEach((part, i) => {
      expect(part.offset % 64).toBe(0);
      if (i > 0) expect(part.offset).toBeGreaterThanOrEqual(placed[i - 1]!.offset + placed[i - 1]!.sizeBytes);
    });
    const weights = model.units.flatMap((u) => u.weights);
    expect(weights.sort()).toEqual([...weightShapes(tinyConfig).keys()].sort());
  });
});
