import { afterAll, describe, expect, it } from 'vitest';
import { formatOf, type NBitFormat, toDense, weightShapes } from '@edgedesk/models';
import {
  DifferentiableGraph,
  encodeModel,
  memorySource,
  type OrtBackend,
  tensor,
  type Tensor,
} from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { piecesOf } from '../data/pieces.js';
import { freshAdapters } from '../initialise/initial-weights.js';
import { mergeAdapter } from '../lora/merge.js';
import { adapterNames } from '../graph/training-graph.js';
import { adamwDefaults } from '../optimizer/adamw.js';
import { encodeCheckpoint, readCheckpoint } from '../trainer/checkpoint-format.js';
import { echoSource, tinyConfig, tinyTrainer } from '../trainer/tiny-run.case.js';
import type { Trainer, TrainerOptions } from '../trainer/trainer.js';
import { fakeQuantized, gridInputs, gridTensors, type QuantizedStart } from './fake-quantization.js';
import { latentWeight, quantizedWeight, trainedScales } from './quantized-weight.js';
import { rounded, tinyStart } from './tiny-start.case.js';

/** The models are so small that a second thread would only wait. */
const backend: OrtBackend = {
  ...nodeBackend(),
  createSession: (model, options) => nodeBackend().createSession(model, { ...options, threads: 1 }),
};
const open: Trainer[] = [];
afterAll(async () => {
  for (const made of open) await made.release();
});

const formats: Readonly<Record<string, NBitFormat>> = {
  '4 bits': { kind: 'nbit', bits: 4, groupSize: 32, asymmetric: false },
  '3 bits in 4': { kind: 'nbit', bits: 4, levelBits: 3, groupSize: 16, asymmetric: false },
  '2 bits, asymmetric': { kind: 'nbit', bits: 2, groupSize: 16, asymmetric: true },
  '8 bits': { kind: 'nbit', bits: 8, groupSize: 32, asymmetric: false },
};

/** Numbers around 0, the same every time. */
const waves = (count: number, size: number) =>
  Float32Array.from({ length: count }, (_, i) => size * Math.sin(i * 1.37) * Math.cos(i * i * 0.11));

describe.each(Object.entries(formats))('%s', (_, format) => {
  // The last group of a row is short.
  const shape = [5, 72] as const;
  const weight = waves(360, 0.3);
  const start = rounded(weight, shape, format);

  it('the levels that are saved are those the graph computed with, bit for bit', async () => {
    const gain = waves(start.scales.length, 0.2);
    const moved = weight.map((x, i) => x + 0.05 * Math.sin(i));
    const g = new DifferentiableGraph();
    const quantization = { formats: new Map([['w', format]]), learnScales: true };
    const feeds: Record<string, Tensor> = {
      w: tensor.f32(moved, shape),
      [gridInputs('w').gain]: tensor.f32(gain, [5, start.scales.length / 5]),
      ...Object.fromEntries(gridTensors({ linears: new Map([['w', start]]), learnScales: true })),
    };
    const values = new Map(Object.entries(feeds).map(([name, t]) => [name, g.input(name, 'f32', t.shape)]));
    g.output(
      fakeQuantized(g, 'w', values.get('w')!, quantization, (name) => values.get(name)!),
      'y',
    );
    const session = await backend.createSession(encodeModel(g), { threads: 1 });
    const { y } = await session.run(feeds);
    await session.release();
    const saved = quantizedWeight(moved, start, gain);
    expect(saved.scales).not.toEqual(start.scales);
    expect(formatOf(saved)).toEqual(format);
    // Adding 0 turns -0 into 0.
    expect((y!.data as Float32Array).map((x) => x + 0)).toEqual(toDense(saved).map((x) => x + 0));
  });

  it('latent weights lie on the starting levels, whatever the weights were', () => {
    const latent = latentWeight(
      weight.map((x, i) => x + 0.1 * Math.cos(i * 3)),
      start,
    );
    expect(quantizedWeight(latent, start, null)).toEqual(start);
    expect(latent).not.toEqual(toDense(start));
  });
});

const fourBits = formats['4 bits']!;

function quantizedTrainer(options: Partial<TrainerOptions> & { readonly learnScales?: boolean } = {}): {
  made: Trainer;
  start: QuantizedStart;
  weights: ReadonlyMap<string, Float32Array>;
} {
  const { learnScales = true, ...others } = options;
  const { weights, linears } = tinyStart(fourBits);
  const start = { linears, learnScales };
  const latent = (name: string): Float32Array => {
    const linear = linears.get(name);
    return linear ? latentWeight(weights.get(name)!, linear) : weights.get(name)!;
  };
  const made = tinyTrainer(backend, {
    initialise: (name, _shape, out) => out.set(latent(name)),
    quantize: start,
    optimizer: { ...adamwDefaults, weightDecay: 0 },
    ...others,
  });
  open.push(made);
  return { made, start, weights };
}

/** The finished model's weights by name. */
function finished(made: Trainer, { linears, learnScales }: QuantizedStart): Map<string, Float32Array> {
  const trained = (name: string) => made.arena.tensor(made.exported, name).data;
  return new Map(
    [...weightShapes(tinyConfig).keys()].map((name) => {
      const linear = linears.get(name);
      if (!linear) return [name, trained(name)];
      const gain = learnScales ? trained(gridInputs(name).gain) : null;
      return [name, toDense(quantizedWeight(trained(name), linear, gain))];
    }),
  );
}

const heldOut = [{ name: 'held-out', rows: [piecesOf(echoSource('held-out', 4, 9), 32)] }];

async function lossOf(weights: ReadonlyMap<string, Float32Array>): Promise<number> {
  const plain = tinyTrainer(backend, { initialise: (name, _shape, out) => out.set(weights.get(name)!) });
  open.push(plain);
  await plain.evaluate(heldOut);
  return plain.state.evaluations[0]!.loss;
}

describe('quantization-aware training', () => {
  it.each([true, false])(
    'lowers the loss of the model it will save (scales learned: %s)',
    async (learned) => {
      const { made, start } = quantizedTrainer({ learnScales: learned });
      await made.evaluate(heldOut);
      for (let i = 0; i < 20; i++) await made.step();
      await made.evaluate(heldOut);
      const [before, after] = made.state.evaluations.map(({ loss }) => loss);
      expect(after).toBeLessThan(0.9 * before!);
      // The model that was evaluated is the one that is saved.
      expect(await lossOf(finished(made, start))).toBeCloseTo(after!, 5);
      const [name, linear] = [...start.linears][3]!;
      if (learned) {
        const gain = made.arena.tensor('parameters', gridInputs(name).gain).data;
        expect(trainedScales(linear, gain)).not.toEqual(linear.scales);
      } else expect(made.arena.names.some((parameter) => parameter.endsWith('gain'))).toBe(false);
    },
  );

  it('goes on from a checkpoint with the same bytes', async () => {
    const [{ made: straight }, { made: first }, { made: second }] = [1, 2, 3].map(() =>
      quantizedTrainer(),
    ) as [
      ReturnType<typeof quantizedTrainer>,
      ReturnType<typeof quantizedTrainer>,
      ReturnType<typeof quantizedTrainer>,
    ];
    for (let i = 0; i < 6; i++) await straight.step();
    for (let i = 0; i < 4; i++) await first.step();
    const bytes = Uint8Array.from(Buffer.concat(encodeCheckpoint(first.arena, first.state, 'x')));
    second.restore(await readCheckpoint(memorySource('checkpoint', bytes), second.arena, 'x'));
    for (let i = 4; i < 6; i++) await second.step();
    expect(second.arena.region('parameters')).toEqual(straight.arena.region('parameters'));
  });

  it('trains adapters under the rounding', async () => {
    const lora = { rank: 2, alpha: 4, roles: ['q', 'down'] as const };
    const { weights, linears } = tinyStart(fourBits);
    const frozen = new Map<string, Tensor>();
    for (const [name, shape] of weightShapes(tinyConfig)) {
      const linear = linears.get(name);
      const data = linear ? latentWeight(weights.get(name)!, linear) : weights.get(name)!;
      frozen.set(name, { dtype: 'f32', shape, data });
    }
    const { made, start } = quantizedTrainer({
      lora,
      frozen,
      initialise: freshAdapters(tinyConfig, lora, 1),
      learnScales: false,
      accumulate: 1,
      lr: 5e-2,
    });
    await made.evaluate(heldOut);
    for (let i = 0; i < 15; i++) await made.step();
    await made.evaluate(heldOut);
    const [before, after] = made.state.evaluations.map(({ loss }) => loss);
    expect(after).toBeLessThan(before!);
    const merged = new Map<string, Float32Array>();
    for (const [name, { data }] of frozen) merged.set(name, Float32Array.from(data as Float32Array));
    for (let layer = 0; layer < tinyConfig.layerCount; layer++) {
      for (const role of lora.roles) {
        const { a, b } = adapterNames(layer, role);
        const name = a.replace('.lora_A', '');
        const [A, B] = [a, b].map((parameter) => made.arena.tensor('parameters', parameter).data);
        mergeAdapter(merged.get(name)!, A!, B!, lora.rank, lora.alpha / lora.rank);
      }
    }
    for (const [name, linear] of start.linears) {
      merged.set(name, toDense(quantizedWeight(merged.get(name)!, linear, null)));
    }
    expect(await lossOf(merged)).toBeCloseTo(after!, 4);
  });
});

describe('a teacher', () => {
  /** A larger model that knows the echo language. */
  const learned = (async () => {
    const made = tinyTrainer(backend, { budget: { steps: 60 } });
    open.push(made);
    for (let i = 0; i < 60; i++) await made.step();
    const weights = [...weightShapes(tinyConfig)].map(([name, shape]): [string, Tensor] => [
      name,
      { dtype: 'f32', shape, data: made.arena.tensor('parameters', name).data },
    ]);
    return new Map(weights);
  })();

  it('is at divergence 0 from itself, and adds cross-entropy by its share', async () => {
    const weights = await learned;
    const lossAt = async (share: number | null) => {
      const made = tinyTrainer(backend, {
        initialise: (name, _shape, out) => out.set(weights.get(name)!.data as Float32Array),
        teacher: share === null ? undefined : { config: tinyConfig, weights, share },
      });
      open.push(made);
      return (await made.step()).point.loss;
    };
    const plain = (await lossAt(null))!;
    expect(Math.abs((await lossAt(1))!)).toBeLessThan(1e-5);
    expect(await lossAt(0)).toBeCloseTo(plain, 5);
    expect(await lossAt(0.25)).toBeCloseTo(0.75 * plain, 5);
  });

  it('heals a model that rounding has harmed', async () => {
    const weights = await learned;
    const linears = new Map(
      [...tinyStart(fourBits).linears.keys()].map((name) => {
        const { shape, data } = weights.get(name)!;
        const format = formats['3 bits in 4']!;
        return [name, rounded(data as Float32Array, shape as [number, number], format)];
      }),
    );
    const { made } = quantizedTrainer({
      initialise: (name, _shape, out) => {
        const linear = linears.get(name);
        const data = weights.get(name)!.data as Float32Array;
        out.set(linear ? latentWeight(data, linear) : data);
      },
      quantize: { linears, learnScales: true },
      teacher: { config: tinyConfig, weights, share: 1 },
      lr: 2e-3,
      budget: { steps: 30 },
    });
    for (let i = 0; i < 30; i++) await made.step();
    const divergences = made.state.steps.map(({ loss }) => loss);
    expect(Math.min(...divergences)).toBeGreaterThan(0);
    expect(divergences.at(-1)!).toBeLessThan(0.5 * divergences[0]!);
  });
});
