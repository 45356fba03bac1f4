import { createHash } from 'node:crypto';
import type { DecoderConfig, NBitLinear } from '@edgedesk/models';
import { linearRoles, storedSize, toDense, weightName } from '@edgedesk/models';
import { EdgeDeskError } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { describe, expect, it } from 'vitest';
import { bellShaped, generatedWeights, tinyConfig, tinyGemmaConfig } from '../model.case.js';
import type { Model } from '../model.js';
import { denseWeight, modelFromWeights, parameterCount } from '../model.js';
import { roundToNearest } from '../quantize/round-to-nearest.js';
import { nbitFormat } from '../quantize/settings.js';
import { calibrationText, sweepContext } from '../sweep/sweep.case.js';
import type { SweepContext } from '../sweep/sweep.js';
import type { Workspace } from '../sweep/workspace.js';
import { memoryWorkspace } from '../sweep/workspace.js';
import { wholeModel } from '../whole-model.case.js';
import { artefactSize, assignFormats } from './assign-formats.js';
import { measureSensitivity } from './measure-sensitivity.js';
import { mixedFormats, mixedPrecisionPass } from './mixed-precision.js';
import type { Sensitivity } from './sensitivity.js';
import { checkSensitivity, parseSensitivity } from './sensitivity.js';

const backend = nodeBackend();
const config: DecoderConfig = tinyConfig;
const model = modelFromWeights('tiny', config, generatedWeights(config));
const calibration = calibrationText(192, config.vocabSize);
const context = (workspace?: Workspace, more?: Partial<SweepContext>) =>
  sweepContext(calibration, workspace, more);

function divergence(p: Float32Array, q: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < p.length; i++) sum += Math.exp(p[i]!) * (p[i]! - q[i]!);
  return sum / 192;
}

describe('a sensitivity', () => {
  it.each([
    ['tied', config],
    ['untied qwen2', { ...config, modelType: 'qwen2', qkvBias: true, tiedEmbedding: false }],
    ['untied gemma3', { ...tinyGemmaConfig, tiedEmbedding: false }],
  ] as const)('holds the KL that each weight alone leads to, %s', async (_name, shape) => {
    const own = modelFromWeights('tiny', shape, generatedWeights(shape));
    const run = await wholeModel(own, calibration, backend);
    const unchanged = await run();
    const options = { method: 'rtn' as const, formats: mixedFormats, probeTokens: 192 };
    const { weights, probeTokens } = await measureSensitivity(own, options, context());
    expect(probeTokens).toBe(192);
    expect(weights.map((weight) => weight.name)).toEqual([...own.linears.keys()]);
    for (const { name, shape: dims, measured } of weights) {
      if (name === weightName.embedding && shape.tiedEmbedding) continue; // its two uses were changed one by one
      const isOuter = name === weightName.embedding || name === weightName.head;
      const format = nbitFormat({ bits: isOuter ? 4 : 3, groupSize: 32, asymmetric: false });
      const weight = denseWeight(await own.linears.get(name)!.read());
      const quantized = toDense(roundToNearest(weight, [dims[0], dims[1]], format, name));
      const whole = divergence(unchanged, await run({ [name]: quantized }));
      expect(measured.bits, name).toBe(isOuter ? 4 : 3);
      expect(measured.kl / whole, name).toBeCloseTo(1, 2);
    }
  });

  it('carries it over to other formats about as they come out', async () => {
    const options = { method: 'rtn' as const, formats: mixedFormats, probeTokens: 192 };
    const { weights } = await measureSensitivity(model, options, context());
    const run = await wholeModel(model, calibration, backend);
    const unchanged = await run();
    for (const role of linearRoles) {
      const name = weightName.linear(1, role);
      const { shape, choices } = weights.find((weight) => weight.name === name)!;
      const weight = denseWeight(await model.linears.get(name)!.read());
      for (const { format, kl } of choices) {
        if (format.bits === 8) continue; // beneath what single precision tells apart
        const quantized = toDense(roundToNearest(weight, [shape[0], shape[1]], nbitFormat(format), name));
        const real = divergence(unchanged, await run({ [name]: quantized }));
        expect(kl / real, `${name} at ${format.bits} bits`).toBeGreaterThan(0.6);
        expect(kl / real, `${name} at ${format.bits} bits`).toBeLessThan(1.6);
      }
    }
  });

  it('is refused when it is malformed or of another model', async () => {
    const options = { method: 'rtn' as const, formats: mixedFormats, probeTokens: 64 };
    const good = await measureSensitivity(model, options, context());
    const sentenceOf = (json: unknown): string => {
      try {
        checkSensitivity(parseSensitivity(json, 's.json'), config, 's.json');
      } catch (error) {
        if (EdgeDeskError.isInstance(error)) return error.sentence;
      }
      return 'none';
    };
    expect(parseSensitivity(JSON.parse(JSON.stringify(good)), 's.json')).toEqual(good);
    expect(sentenceOf({ ...good, weights: good.weights.slice(1) })).toMatch(
      /another model: model.embed_tokens/,
    );
    expect(sentenceOf({ ...good, weights: [...good.weights, { ...good.weights[0]!, name: 'x' }] })).toMatch(
      /more weights/,
    );
    expect(sentenceOf({ ...good, method: 'magic' })).toMatch(/^s.json: "method" cannot be used/);
    expect(sentenceOf([])).toMatch(/measure it again with `edgedesk sensitivity`/);
    const negative = { ...good.weights[0]!, measured: { bits: 3, kl: -1 } };
    expect(sentenceOf({ ...good, weights: [negative] })).toMatch(/"weights.0.measured.kl"/);
  });
});

describe('mixed precision', () => {
  /** Some layers far more sensitive than others. */
  const sensitivity: Sensitivity = {
    format: 1,
    model: 'tiny',
    method: 'rtn',
    probeTokens: 64,
    weights: [...model.linears].map(([name, { shape }], i) => ({
      name,
      shape: [shape[0], shape[1]],
      measured: { bits: 3, kl: 0.01 },
      choices: mixedFormats.map((format) => ({
        format,
        kl: Math.exp(3 * bellShaped(1, 1, i + 1)[0]!) * storedSize(nbitFormat(format), shape) ** -2,
      })),
    })),
  };
  const settings = { method: 'rtn', sensitivity };

  it.each([3.6, 4.3, 6])('respects %f bits a weight, to the byte, and uses them', async (bitsPerWeight) => {
    const mixed = await mixedPrecisionPass.apply(model, { ...settings, bitsPerWeight }, { sweep: context() });
    const size = artefactSize(config, (weight) => mixed.linears.get(weight)!.format);
    // A tiny model is mostly graph; its weights' share still varies a good deal.
    const budget = Math.floor((bitsPerWeight * parameterCount(config)) / 8);
    expect(size).toBeLessThanOrEqual(budget);
    expect(size).toBeGreaterThan(0.93 * budget);
  });

  it('is no worse than any uniform format of its size, by the measurements', () => {
    for (const [i, format] of mixedFormats.entries()) {
      const size = artefactSize(config, () => nbitFormat(format));
      const uniform = sensitivity.weights.reduce((sum, weight) => sum + weight.choices[i]!.kl, 0);
      const mixed = assignFormats(sensitivity, config, size, 'w');
      expect(mixed.kl).toBeLessThanOrEqual(uniform * (1 + 1e-9));
      expect(mixed.sizeBytes).toBeLessThanOrEqual(size);
    }
  });

  it('says when a budget cannot be met, and what is wrong with it', async () => {
    const sentenceOf = (of: object): Promise<string> =>
      mixedPrecisionPass.apply(model, { ...settings, ...of }, { sweep: context() }).then(
        () => 'none',
        (error: unknown) => (EdgeDeskError.isInstance(error) ? error.sentence : String(error)),
      );
    expect(await sentenceOf({ targetBytes: 1000 })).toMatch(
      /^1000 bytes: even the smallest formats take \d+ bytes/,
    );
    expect(await sentenceOf({})).toMatch(/Give either this or bitsPerWeight/);
    expect(await sentenceOf({ targetBytes: 1000, bitsPerWeight: 3 })).toMatch(/Give either/);
  });

  const digest = async (of: Model): Promise<string> => {
    const hash = createHash('sha256');
    for (const [name, slot] of of.linears) {
      const linear = (await slot.read()) as NBitLinear;
      hash.update(JSON.stringify([name, slot.format]));
      hash.update(linear.levels);
      hash.update(new Uint8Array(linear.scales.slice().buffer));
    }
    return hash.digest('hex');
  };

  it('goes on with the same result after it was stopped while measuring or solving', async () => {
    const run = (workspace: Workspace, more: Partial<SweepContext> = {}): Promise<Model> => {
      const { signal, ...sweep } = context(workspace, more);
      const chosen = { method: 'search', bitsPerWeight: 4.3, probeTokens: 32 };
      return mixedPrecisionPass.apply(model, chosen, { sweep, ...(signal ? { signal } : {}) });
    };
    const whole = await run(memoryWorkspace());
    expect(
      new Set([...whole.linears.values()].map((slot) => JSON.stringify(slot.format))).size,
    ).toBeGreaterThan(1);
    const workspace = memoryWorkspace();
    // Measuring reports four times a block, and so does solving.
    for (const stopAt of [3, 10, 6]) {
      const controller = new AbortController();
      let seen = 0;
      const onProgress = (): void => {
        if (++seen === stopAt) controller.abort(new Error('stopped'));
      };
      await expect(run(workspace, { onProgress, signal: controller.signal })).rejects.toThrow('stopped');
    }
    const phases = new Set<string>();
    const resumed = await run(workspace, { onProgress: ({ phase }) => phases.add(phase) });
    expect([...phases]).toEqual(['replay', 'solve']);
    expect(await digest(resumed)).toBe(await digest(whole));
  });
});
