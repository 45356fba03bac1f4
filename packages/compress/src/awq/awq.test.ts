import type { DecoderConfig } from '@edgedesk/models';
import { toDense, weightName } from '@edgedesk/models';
import { nodeBackend } from '@edgedesk/tensor/node';
import { afterAll, describe, expect, it } from 'vitest';
import { Gemm } from '../linear-algebra/gemm.js';
import { bellShaped, generatedWeights, tinyConfig, tinyGemmaConfig } from '../model.case.js';
import type { Model } from '../model.js';
import { denseWeight, modelFromWeights } from '../model.js';
import { roundToNearest } from '../quantize/round-to-nearest.js';
import { nbitFormat } from '../quantize/settings.js';
import { calibrationText, sweepContext } from '../sweep/sweep.case.js';
import type { SweepContext } from '../sweep/sweep.js';
import type { Workspace } from '../sweep/workspace.js';
import { memoryWorkspace } from '../sweep/workspace.js';
import { wholeModel } from '../whole-model.case.js';
import { awqPass, foldScales } from './awq-pass.js';
import { scaleSites } from './scaled-block.js';
import { searchAwqScales } from './search-scales.js';

const backend = nodeBackend();
const gemm = new Gemm(backend, 1);
afterAll(() => gemm.release());
const calibration = calibrationText(128, tinyConfig.vocabSize);
const contextWith = (workspace: Workspace, more: Partial<SweepContext> = {}) => {
  const { signal, ...sweep } = sweepContext(calibration, workspace, more);
  return { sweep, ...(signal ? { signal } : {}) };
};

const furthest = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

describe.each([
  ['llama', {}],
  ['llama with a key/value head for each query head', { kvHeadCount: 4 }],
  ['qwen2', { modelType: 'qwen2', qkvBias: true, tiedEmbedding: false }],
  ['qwen3', { modelType: 'qwen3', qkNorm: true, headDim: 32 }],
  ['gemma3', tinyGemmaConfig],
] as const)('AWQ scales folded into %s', (_name, changes) => {
  const config: DecoderConfig = { ...tinyConfig, ...changes };
  const model = modelFromWeights('tiny', config, generatedWeights(config));

  it('change every scaled weight and no output', async () => {
    // Factors between a fourth and four, without any order.
    const scales = Array.from({ length: config.layerCount }, (_, layer) =>
      scaleSites(config).map(({ channels }, site) =>
        bellShaped(channels, 0.7, 1 + layer * 4 + site).map((x) =>
          Math.exp(Math.max(-1.4, Math.min(1.4, x))),
        ),
      ),
    );
    const folded = foldScales(model, scales, { step: 'awq', settings: {} });
    for (const [name, slot] of model.linears) {
      const before = denseWeight(await slot.read());
      const after = denseWeight(await folded.linears.get(name)!.read());
      expect(furthest(before, after) > 0.01, name).toBe(name.startsWith('model.layers.'));
    }
    const expected = await (await wholeModel(model, calibration, backend))();
    const got = await (await wholeModel(folded, calibration, backend))();
    expect(furthest(expected, got)).toBeLessThan(2e-5 * Math.max(...expected.map(Math.abs)));
  });
});

describe('the search for AWQ scales', () => {
  const shape = [24, 64] as const;
  const format = nbitFormat({ bits: 3, groupSize: 32, asymmetric: false });
  const site = { ...scaleSites(tinyConfig)[0]!, channels: 64 };
  /** Second moment of independent inputs of these mean squares. */
  const moment = (squares: readonly number[]) => ({
    rows: 64,
    columns: 64,
    data: Float32Array.from({ length: 64 * 64 }, (_, i) => (i % 65 === 0 ? squares[i / 65]! : 0)),
  });
  const errorWith = (W: Float32Array, s: Float32Array, squares: readonly number[]): number => {
    const scaled = W.map((w, i) => w * s[i % 64]!);
    const Q = toDense(roundToNearest(scaled, shape, format, 'w'));
    return Q.reduce((sum, q, i) => sum + squares[i % 64]! * (q / s[i % 64]! - W[i]!) ** 2, 0);
  };

  it('protects strong channels, and never loses to no scaling', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const W = bellShaped(24 * 64, 0.05, seed);
      const strong = Array.from({ length: 64 }, (_, i) => (i % 17 === 0 ? 400 : 1));
      const s = await searchAwqScales(site, [{ weight: W, shape }], moment(strong), format, gemm, 'w');
      expect(s[17]! / s[18]!).toBeGreaterThan(1.5);
      const ones = new Float32Array(64).fill(1);
      expect(errorWith(W, s, strong)).toBeLessThan(0.7 * errorWith(W, ones, strong));
      const noise = bellShaped(64, 1, seed + 50).map((x) => 0.1 + x * x);
      const any = await searchAwqScales(site, [{ weight: W, shape }], moment([...noise]), format, gemm, 'w');
      expect(errorWith(W, any, [...noise])).toBeLessThanOrEqual(errorWith(W, ones, [...noise]) * 1.0001);
    }
  });

  it('stays finite where channels never fire', async () => {
    const W = bellShaped(24 * 64, 0.05);
    for (const squares of [
      new Array<number>(64).fill(0),
      Array.from({ length: 64 }, (_, i) => Number(i === 3)),
    ]) {
      const s = await searchAwqScales(site, [{ weight: W, shape }], moment(squares), format, gemm, 'w');
      for (const x of s) expect(x > 1e-3 && x < 1e3).toBe(true);
    }
  });
});

it('goes on at the last finished block after it was stopped, with the same factors', async () => {
  const config: DecoderConfig = { ...tinyConfig, layerCount: 3 };
  const model = modelFromWeights('tiny', config, generatedWeights(config));
  const apply = (...context: Parameters<typeof contextWith>): Promise<Model> =>
    awqPass.apply(model, { bits: 4 }, contextWith(...context));
  const norms = async (of: Model) => {
    const names = Array.from({ length: 3 }, (_, layer) => weightName.postAttentionNorm(layer));
    return Promise.all(names.map((name) => of.readVector(name)));
  };
  const whole = await norms(await apply(memoryWorkspace()));
  const workspace = memoryWorkspace();
  for (const stopAt of [2, 3]) {
    const controller = new AbortController();
    let seen = 0;
    const onProgress = (): void => {
      if (++seen === stopAt) controller.abort(new Error('stopped'));
    };
    await expect(apply(workspace, { onProgress, signal: controller.signal })).rejects.toThrow('stopped');
  }
  expect(await workspace.read('awq-1')).not.toBeNull();
  expect(await workspace.read('awq-2')).toBeNull();
  expect(await norms(await apply(workspace))).toEqual(whole);
  // All blocks are there: nothing runs.
  const onProgress = (): void => {
    throw new Error('it ran');
  };
  const again = await apply(workspace, { onProgress });
  expect(await norms(again)).toEqual(whole);
  expect(again.provenance.at(-1)).toEqual({
    step: 'awq',
    settings: { bits: 4, groupSize: 32, asymmetric: false, calibrationTokens: 128 },
  });
});
