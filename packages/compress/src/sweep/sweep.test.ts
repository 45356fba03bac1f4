import { createHash } from 'node:crypto';
import type { DecoderConfig, LinearRole, NBitLinear } from '@edgedesk/models';
import {
  decoder,
  expandLowering,
  linearRoles,
  linearShape,
  weightName,
  weightShapes,
} from '@edgedesk/models';
import type { Tensor, Value } from '@edgedesk/tensor';
import { DifferentiableGraph, EdgeDeskError, encodeModel, tensor } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { describe, expect, it } from 'vitest';
import { generatedWeights, tinyConfig, tinyGemmaConfig } from '../model.case.js';
import type { Model } from '../model.js';
import { denseWeight, modelFromWeights } from '../model.js';
import { applyRecipe, passes } from '../recipe.js';
import { encodeBlockRecord, decodeBlockRecord } from './block-record.js';
import { meanSquare, secondMoment } from './statistic.js';
import { calibrationText, sweepContext } from './sweep.case.js';
import type { BlockAlgorithm, SweepContext, SweepProgress } from './sweep.js';
import { sweepBlocks } from './sweep.js';
import type { Workspace } from './workspace.js';
import { memoryWorkspace } from './workspace.js';

const backend = nodeBackend();
const config: DecoderConfig = { ...tinyConfig, layerCount: 3, hiddenSize: 64, intermediateSize: 256 };

/** Six rows of 32 tokens in documents of eleven. */
const calibration = calibrationText(192, config.vocabSize);

const contextWith = (workspace: Workspace, more?: Partial<SweepContext>) =>
  sweepContext(calibration, workspace, more);

async function sentenceOf(action: Promise<unknown>): Promise<string> {
  const error: unknown = await action.then(
    () => null,
    (e: unknown) => e,
  );
  if (EdgeDeskError.isInstance(error)) return error.sentence;
  throw new Error(`no EdgeDeskError but ${String(error)}`);
}

/** What every linear layer reads when the whole model runs at once, `[tokens, in]` by the layer's name. */
async function inputsInFullPass(model: Model): Promise<Map<string, Float32Array>> {
  const { config: shape } = model;
  const g = new DifferentiableGraph();
  const feeds: Record<string, Tensor> = {
    token_ids: tensor.i64([...calibration.ids], [192]),
    segment_ids: tensor.i64([...calibration.segments], [6, 32]),
  };
  const values = new Map<string, Value>();
  for (const [name, dims] of weightShapes(shape)) {
    const slot = model.linears.get(name);
    values.set(name, g.input(name, 'f32', dims));
    feeds[name] = tensor.f32(slot ? denseWeight(await slot.read()) : await model.readVector(name), dims);
  }
  const tap = (x: Value, layer: number, role: LinearRole): void =>
    g.output(x, `input of ${weightName.linear(layer, role)}`);
  const ops = expandLowering(g, shape, {
    batch: 6,
    seq: 32,
    tokenIds: g.input('token_ids', 'i64', [192]),
    segmentIds: g.input('segment_ids', 'i64', [6, 32]),
    weight: (name) => values.get(name)!,
    head: (hidden) => hidden,
  });
  const hidden = decoder(shape, {
    ...ops,
    project: (x, layer, roles) => {
      for (const role of roles) tap(x, layer, role);
      return ops.project(x, layer, roles);
    },
    linear: (x, layer, role) => {
      tap(x, layer, role);
      return ops.linear(x, layer, role);
    },
  });
  g.output(hidden, 'head');
  const session = await backend.createSession(encodeModel(g), { threads: 1 });
  const outputs = await session.run(feeds);
  await session.release();
  return new Map(Object.entries(outputs).map(([name, { data }]) => [name, data as Float32Array]));
}

function meanOf(x: Float32Array, columns: number, row: number, column: number): number {
  let sum = 0;
  for (let t = 0; t < x.length; t += columns) sum += x[t + row]! * x[t + column]!;
  return (sum * columns) / x.length;
}

describe.each([
  ['llama', {}],
  ['qwen2', { modelType: 'qwen2', qkvBias: true }],
  ['qwen3', { modelType: 'qwen3', qkNorm: true, headDim: 32 }],
  [
    'qwen2 with a window in its upper layers',
    { modelType: 'qwen2', qkvBias: true, local: { window: 4, layers: [false, true, true] } },
  ],
  ['gemma3', tinyGemmaConfig],
] as const)('a sweep over %s', (_label, changes) => {
  const shape: DecoderConfig = { ...config, ...changes };

  it('observes what the whole model computes, while it changes no weight', async () => {
    const weights = generatedWeights(shape);
    // On the grid already, so that solving can leave every weight as it is.
    const model = await applyRecipe(modelFromWeights('tiny', shape, weights), [
      { pass: 'round-to-nearest', bits: 8, groupSize: 16 },
    ]);
    const expected = await inputsInFullPass(model);
    const observed = new Map<string, Float64Array>();
    const algorithm: BlockAlgorithm<Float64Array> = {
      statistic: secondMoment,
      prepare: (H) =>
        Promise.resolve(async (name) => {
          observed.set(name, H);
          return (await model.linears.get(name)!.read()) as NBitLinear;
        }),
    };
    const { headInput } = await sweepBlocks(model, algorithm, null, contextWith(memoryWorkspace()));
    expect(observed.size).toBe(3 * linearRoles.length);
    let worst = 0;
    for (const [name, H] of observed) {
      const x = expected.get(`input of ${name}`)!;
      const n = Math.sqrt(H.length);
      expect(x.length).toBe(192 * n);
      const size = Math.max(...Array.from({ length: n }, (_, i) => H[i * n + i]!));
      for (let i = 0; i < n; i += 7) {
        for (let j = 0; j < n; j += 5) {
          worst = Math.max(worst, Math.abs(H[i * n + j]! - meanOf(x, n, i, j)) / size);
        }
      }
    }
    headInput.forEach((x, i) => {
      worst = Math.max(worst, Math.abs(x - meanOf(expected.get('head')!, 64, i, i)) / x);
    });
    expect(worst).toBeLessThan(1e-5);
  });
});

/** Everything that a calibrated model holds. */
async function digest(model: Model): Promise<string> {
  const hash = createHash('sha256');
  for (const [name, slot] of model.linears) {
    const linear = (await slot.read()) as NBitLinear;
    hash.update(name);
    hash.update(linear.levels);
    hash.update(new Uint8Array(linear.scales.slice().buffer));
  }
  return hash.digest('hex');
}

describe.each([
  ['llama', config],
  ['gemma3', tinyGemmaConfig],
])('a sweep over %s that was stopped', (_label, shape) => {
  const model = modelFromWeights('tiny', shape, generatedWeights(shape));
  const gptq = passes.get('gptq')!;
  const run = (workspace: Workspace, more: Partial<SweepContext> = {}, bits = 4): Promise<Model> => {
    const { signal, ...sweep } = contextWith(workspace, more);
    return gptq.apply(model, { bits }, { sweep, ...(signal ? { signal } : {}) });
  };

  it('goes on at any point with the same result', async () => {
    const reports: SweepProgress[] = [];
    const whole = await digest(await run(memoryWorkspace(), { onProgress: (p) => reports.push(p) }));
    expect(reports.map((p) => p.done)).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    expect(reports[0]!.secondsLeft).toBeNull();
    expect(reports.at(-1)!.secondsLeft).toBeGreaterThan(0);

    const workspace = memoryWorkspace();
    // In block 0, in block 1, again in block 1 after running block 0, in block 2.
    for (const stopAt of [2, 6, 3, 7]) {
      const controller = new AbortController();
      let seen = 0;
      const onProgress = (): void => {
        if (++seen === stopAt) controller.abort(new Error('stopped'));
      };
      await expect(run(workspace, { onProgress, signal: controller.signal })).rejects.toThrow('stopped');
    }
    const phases: string[] = [];
    const resumed = await run(workspace, { onProgress: (p) => phases.push(`${p.phase} ${p.done}`) });
    expect(phases).toEqual(['replay 0', 'replay 1', 'solve 2', 'solve 2', 'solve 2', 'solve 2']);
    expect(await digest(resumed)).toBe(whole);
  });

  it('takes over finished blocks, but only those made from the same', async () => {
    const workspace = memoryWorkspace();
    const whole = await digest(await run(workspace));
    const phases: string[] = [];
    const onProgress = (p: SweepProgress): number => phases.push(p.phase);
    expect(await digest(await run(workspace, { onProgress }))).toBe(whole);
    expect(phases).toEqual(['replay', 'replay', 'replay']);
    phases.length = 0;
    await workspace.write('block-1', Uint8Array.of(1, 2, 3));
    expect(await digest(await run(workspace, { onProgress }))).toBe(whole);
    expect(phases).toEqual(['replay', 'solve', 'solve', 'solve', 'solve', 'replay']);
    phases.length = 0;
    await run(workspace, { onProgress }, 8);
    expect(phases).not.toContain('replay');
    phases.length = 0;
    const other = { ...calibration, ids: calibration.ids.map((id) => (id + 1) % shape.vocabSize) };
    await run(workspace, { onProgress, calibration: other });
    expect(phases).not.toContain('replay');
  });

  it('refuses text on which the model computes no numbers', async () => {
    const weights = generatedWeights(shape);
    const name = weightName.linear(1, 'up');
    const huge = (await weights.readF32(name)).map(() => 1e20);
    const gate = weightName.linear(1, 'gate');
    const changed = generatedWeights(shape, { [name]: huge, [gate]: huge });
    const broken = modelFromWeights('tiny', shape, changed);
    const { signal: _signal, ...sweep } = contextWith(memoryWorkspace());
    const sentence = await sentenceOf(gptq.apply(broken, { bits: 8 }, { sweep }));
    expect(sentence).toMatch(/tiny, (block 1|tensor "model.layers.1)/);
  });

  it('says that it needs text', async () => {
    expect(await sentenceOf(gptq.apply(model, { bits: 4 }, {}))).toMatch(/none was given; name files/);
  });
});

describe('a block record', () => {
  const linears = new Map<string, NBitLinear>([
    [
      'a',
      {
        kind: 'nbit',
        shape: [2, 40],
        bits: 4,
        groupSize: 32,
        levels: Uint8Array.from({ length: 80 }, (_, i) => i % 16),
        scales: Float32Array.of(0.5, 0.25, -1, 2),
        zeroPoints: Uint8Array.of(1, 2, 3, 4),
      },
    ],
  ]);
  const bytes = encodeBlockRecord({ fingerprint: 'f', linears });

  it('is read back as it was', () => {
    expect(decodeBlockRecord(bytes)).toEqual({ fingerprint: 'f', linears });
  });

  it('is none when anything is missing, too much or changed in its header', () => {
    for (let length = 0; length < bytes.length; length += 3) {
      expect(decodeBlockRecord(bytes.slice(0, length))).toBeNull();
    }
    expect(decodeBlockRecord(Uint8Array.from([...bytes, 0]))).toBeNull();
    const negative = new TextEncoder().encode(
      new TextDecoder('utf-8').decode(bytes.slice(0, 120)).replace('[2,', '[0,'),
    );
    expect(decodeBlockRecord(Uint8Array.from([...negative, ...bytes.slice(120)]))).toBeNull();
  });
});

it('observes mean squares and second moments alike', () => {
  const sums = Float64Array.of(2, 8, 18);
  expect([...meanSquare.finish(sums, 3, 2)]).toEqual([1, 4, 9]);
  expect(secondMoment.size(200)).toBe(192 * 200 + 8 * 8);
  expect(linearShape(config, 'down')[1]).toBe(256);
});
