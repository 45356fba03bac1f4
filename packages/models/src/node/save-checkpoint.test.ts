import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFolder } from '@edgedesk/tensor/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCheckpoint, readTokenizerFiles } from '../checkpoint/load-checkpoint.js';
import { seeded } from '../checkpoint/memory-store.case.js';
import { type DecoderConfig, weightShapes } from '../config.js';
import { chatMlTokenizerFiles } from '../tokenizer/chatml.js';
import type { TokenizerJson } from '../tokenizer/tokenizer-json.js';
import { saveCheckpoint } from './save-checkpoint.js';

const tokenizerJson = JSON.parse(
  readFileSync(new URL('../tokenizer/fixtures/byte-level.json', import.meta.url), 'utf8'),
) as TokenizerJson;
const config: DecoderConfig = {
  modelType: 'qwen3',
  vocabSize: 512,
  hiddenSize: 16,
  intermediateSize: 24,
  layerCount: 2,
  headCount: 4,
  kvHeadCount: 2,
  headDim: 8,
  contextLength: 64,
  ropeTheta: 10000,
  normEpsilon: 1e-6,
  tiedEmbedding: false,
  qkvBias: false,
  qkNorm: true,
  bosTokenId: null,
  eosTokenIds: [2, 0],
  padTokenId: 0,
};
const random = seeded(1);
/** On bf16's grid, so that every dtype keeps them. */
const weights = new Map(
  [...weightShapes(config)].map(([name, shape]) => [
    name,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.round(random() * 200 - 100) / 64),
  ]),
);
const source = { readF32: (name: string) => Promise.resolve(weights.get(name)!.slice()) };
const tokenizerFiles = chatMlTokenizerFiles(tokenizerJson, config.contextLength);

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'edgedesk-checkpoint-'));
});
afterAll(() => rm(root, { recursive: true }));

describe('saveCheckpoint', () => {
  it.each([
    ['f32', undefined],
    ['f16', undefined],
    ['bf16', 8000],
  ] as const)('is loaded back: %s, shards of %s', async (dtype, maxShardBytes) => {
    const path = join(root, dtype);
    const shards = maxShardBytes === undefined ? {} : { maxShardBytes };
    for (let i = 0; i < 2; i++) {
      // The second time it replaces its own work.
      const generation = { temperature: 0.7, eos_token_id: 99 };
      await saveCheckpoint(path, { config, weights: source, tokenizerFiles, dtype, generation, ...shards });
    }
    const store = openFolder(path);
    const loaded = await loadCheckpoint(store);
    expect(loaded.config).toEqual(config);
    expect(loaded.generation).toEqual({ temperature: 0.7, bos_token_id: null, eos_token_id: [2, 0], pad_token_id: 0 });
    expect(loaded.tokenizer.decode(loaded.tokenizer.encode('退货'))).toBe('退货');
    for (const [name, values] of weights) expect([...(await loaded.weights.readF32(name))]).toEqual([...values]);
    await loaded.weights.close();
    expect(await readTokenizerFiles(store)).toEqual(tokenizerFiles);
    expect(readdirSync(path).filter((name) => name.startsWith('model')).length > 1).toBe(maxShardBytes !== undefined);
  });

  it('leaves what was there when a weight cannot be read, and does not touch foreign folders', async () => {
    const path = join(root, 'kept');
    await saveCheckpoint(path, { config, weights: source, tokenizerFiles });
    const failing = { readF32: () => Promise.reject(new Error('gone')) };
    await expect(saveCheckpoint(path, { config, weights: failing, tokenizerFiles })).rejects.toThrow('gone');
    await (await loadCheckpoint(openFolder(path))).weights.close();
    expect(readdirSync(root).filter((name) => name.includes('partial'))).toEqual([]);
    const foreign = await mkdtemp(join(root, 'foreign-'));
    await writeFile(join(foreign, 'model.safetensors'), 'mine');
    await expect(saveCheckpoint(foreign, { config, weights: source, tokenizerFiles })).rejects.toThrow(/did not write/);
  });

  it('does not load parts of different models', async () => {
    const path = join(root, 'mixed');
    await saveCheckpoint(path, { config, weights: source, tokenizerFiles });
    const edited = async (change: object): Promise<void> => {
      const json = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as object;
      await writeFile(join(path, 'config.json'), JSON.stringify({ ...json, ...change }));
    };
    await edited({ vocab_size: 100, eos_token_id: 2 });
    await expect(loadCheckpoint(openFolder(path))).rejects.toThrow(/tokenizer has ids up to 479/);
    await edited({ vocab_size: 512, intermediate_size: 25 });
    await expect(loadCheckpoint(openFolder(path))).rejects.toThrow(/\[24, 16\] but config.json asks for \[25, 16\]/);
    await writeFile(join(path, 'config.json'), '{');
    await expect(loadCheckpoint(openFolder(path))).rejects.toThrow(/not JSON/);
  });
});
