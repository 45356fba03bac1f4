import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openArtefactWeights, writeGguf } from '@edgedesk/models';
import type { Engine, EngineOptions } from '@edgedesk/runtime';
import { fillFileAtomic, openFolder } from '@edgedesk/tensor/node';
import type * as Package from 'node-llama-cpp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CaseOptions, dense, openHere, writeArtefact } from '../../artefact.case.js';
import { collect, engineContract, promptOf } from '../../engine-contract.case.js';
import { loadLlama } from './llama-library.js';
import { openLlamaEngine } from './open-llama-engine.js';

/** ggml's blocks ask for rows of whole 32s. */
const config = { hiddenSize: 64, intermediateSize: 96 };

/** The artefact's model as a GGUF file beside it, the same values. */
async function ggufOf(folder: string): Promise<string> {
  const path = join(folder, 'tiny.gguf');
  const weights = await openArtefactWeights(openFolder(folder));
  const { tokenizerFiles } = weights;
  await fillFileAtomic(path, (file) => writeGguf({ name: 'tiny', weights, tokenizerFiles, file }));
  await weights.close();
  return path;
}

const open = async (folder: string, options: EngineOptions): Promise<Engine> =>
  openLlamaEngine(await ggufOf(folder), { threads: 1, ...options });

describe('the llama.cpp engine', () => {
  engineContract({ open, artefact: { config, formatOf: () => dense }, copiesRows: false });
});

const variants: Record<string, CaseOptions> = {
  llama: {},
  'qwen2, untied head, biased q/k/v': {
    config: { tiedEmbedding: false, qkvBias: true, modelType: 'qwen2' },
  },
  'qwen3, normed q/k': { config: { qkNorm: true, modelType: 'qwen3' } },
};

describe.each(Object.entries(variants))('beside onnxruntime: %s', (_, options) => {
  let artefact: Awaited<ReturnType<typeof writeArtefact>>;
  let ours: Engine;
  let llama: Engine;
  beforeAll(async () => {
    artefact = await writeArtefact({ ...options, config: { ...config, ...options.config } });
    ours = await openHere(artefact.folder);
    llama = await open(artefact.folder, {});
  });
  afterAll(async () => {
    await llama.close();
    await ours.close();
    await artefact.remove();
  });

  it('knows the same model and the same text', () => {
    const { sizeBytes, bitsPerWeight, ...known } = llama.info;
    expect(known).toEqual({ ...known, ...ours.info, sizeBytes: undefined, bitsPerWeight: undefined });
    expect(bitsPerWeight).toBeCloseTo((8 * sizeBytes) / known.parameters, 9);
    const messages = [{ role: 'user' as const, content: '我的订单在哪里？ <|im_end|>' }];
    expect(llama.encodeChat(messages)).toEqual(ours.encodeChat(messages));
    expect(llama.decode(llama.encode('Where is it?'))).toBe('Where is it?');
  });

  it('scores alike, whole rows or not', async () => {
    const tokens = promptOf(70, 4);
    for (const start of [1, 33]) {
      const expected = await ours.score(tokens, { start, withRows: true });
      const whole = await llama.score(tokens, { start, withRows: true });
      const brief = await llama.score(tokens, { start });
      // llama.cpp keeps keys and values in float16.
      expect(largestGap(whole.rows!, expected.rows!)).toBeLessThan(0.02);
      expect(largestGap(brief.logProbs, whole.logProbs)).toBeLessThan(1e-3);
      expect(brief.top1).toEqual(whole.top1);
    }
  });

  it('samples by the same rules', async () => {
    // One candidate is left, whatever the number.
    const narrow = { temperature: 0.8, topK: 1, seed: 3, maxNewTokens: 20, ignoreEnd: true };
    const greedy = { maxNewTokens: 20, ignoreEnd: true };
    const picked = await collect(llama.generate(promptOf(30), narrow));
    expect(picked.tokens).toEqual((await collect(llama.generate(promptOf(30), greedy))).tokens);
    const wide = { temperature: 1, topP: 0.9, seed: 3, maxNewTokens: 20, ignoreEnd: true };
    const [a, b] = [
      await collect(llama.generate(promptOf(30), wide)),
      await collect(ours.generate(promptOf(30), wide)),
    ];
    expect(a.tokens.slice(0, 4)).toEqual(b.tokens.slice(0, 4));
  });
});

const largestGap = (a: Float32Array, b: Float32Array): number =>
  a.reduce((gap, x, i) => Math.max(gap, Math.abs(x - b[i]!)), 0);

describe('refuses in one sentence', () => {
  it.each([
    ['a file that is no GGUF', 'GGML and more'],
    ['an empty file', ''],
  ])('%s', async (_, content) => {
    const artefact = await writeArtefact();
    const path = join(artefact.folder, 'bad.gguf');
    await writeFile(path, content);
    await expect(openLlamaEngine(path)).rejects.toMatchObject({ code: 'CHECKPOINT' });
    await artefact.remove();
  });

  it('an engine whose package is not there', async () => {
    const missing = 'node-llama-cpp-that-is-not-there';
    const load = loadLlama(() => import(missing) as Promise<typeof Package>);
    await expect(load).rejects.toMatchObject({
      sentence:
        'node-llama-cpp: the llama.cpp engine is not installed; `npm install node-llama-cpp@3 --ignore-scripts`, or leave the engine at onnxruntime.',
    });
  });
});
