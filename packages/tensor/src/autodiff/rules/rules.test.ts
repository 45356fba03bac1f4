import { describe, expect, test } from 'vitest';
import type { Primitive, PrimitiveAttributes, Tensor, Value } from '../../index.js';
import { DifferentiableGraph, elementCount, encodeModel, staticShape, tensor } from '../../index.js';
import { nodeBackend } from '../../node/index.js';

/** Makes a primitive's inputs; `param` gives a trainable input with values in `range`. */
interface Maker {
  readonly g: DifferentiableGraph;
  param(shape: readonly number[], range?: readonly [number, number]): Value;
  ids(values: readonly number[]): Value;
}

type Case<P extends Primitive> = (make: Maker) => {
  inputs: readonly Value[];
  attributes: PrimitiveAttributes[P];
};

/** Rounding has no slope to compare with: fake-quantize.test.ts checks what is put in its place. */
type Smooth = Exclude<Primitive, 'fakeQuantize'>;

/** Every smooth primitive has at least one case: a missing key does not compile. */
const cases: { readonly [P in Smooth]: Readonly<Record<string, Case<P>>> } = {
  add: {
    same: (m) => ({ inputs: [m.param([3, 4]), m.param([3, 4])], attributes: {} }),
    broadcast: (m) => ({ inputs: [m.param([2, 3, 4]), m.param([3, 1])], attributes: {} }),
  },
  sub: { broadcast: (m) => ({ inputs: [m.param([4]), m.param([3, 4])], attributes: {} }) },
  mul: { broadcast: (m) => ({ inputs: [m.param([2, 1, 4]), m.param([3, 4])], attributes: {} }) },
  scale: { third: (m) => ({ inputs: [m.param([5])], attributes: { factor: 1 / 3 } }) },
  exp: { plain: (m) => ({ inputs: [m.param([6])], attributes: {} }) },
  log: { positive: (m) => ({ inputs: [m.param([6], [0.5, 2])], attributes: {} }) },
  sigmoid: { plain: (m) => ({ inputs: [m.param([6], [-3, 3])], attributes: {} }) },
  silu: { plain: (m) => ({ inputs: [m.param([6], [-3, 3])], attributes: {} }) },
  softmax: { rows: (m) => ({ inputs: [m.param([3, 5], [-2, 2])], attributes: {} }) },
  reduceSum: {
    kept: (m) => ({ inputs: [m.param([2, 3, 4])], attributes: { axes: [1], keepDims: true } }),
    dropped: (m) => ({ inputs: [m.param([2, 3, 4])], attributes: { axes: [0, 2], keepDims: false } }),
  },
  matmul: {
    matrices: (m) => ({ inputs: [m.param([3, 4]), m.param([4, 5])], attributes: {} }),
    batched: (m) => ({ inputs: [m.param([2, 3, 4]), m.param([2, 4, 5])], attributes: { alpha: 0.5 } }),
    transposed: (m) => ({
      inputs: [m.param([2, 3, 4]), m.param([2, 5, 4])],
      attributes: { transposeB: true, alpha: 2 },
    }),
  },
  linear: { plain: (m) => ({ inputs: [m.param([4, 3]), m.param([5, 3])], attributes: {} }) },
  reshape: { plain: (m) => ({ inputs: [m.param([4, 3])], attributes: { shape: [2, 6] } }) },
  transpose: { cycle: (m) => ({ inputs: [m.param([2, 3, 4])], attributes: { permutation: [2, 0, 1] } }) },
  slice: {
    middle: (m) => ({ inputs: [m.param([5, 3])], attributes: { axis: 0, start: 1, end: 3 } }),
    start: (m) => ({ inputs: [m.param([2, 5])], attributes: { axis: 1, start: 0, end: 2 } }),
  },
  concat: {
    three: (m) => ({ inputs: [m.param([2, 1]), m.param([2, 3]), m.param([2, 2])], attributes: { axis: 1 } }),
  },
  gather: {
    repeated: (m) => ({ inputs: [m.param([5, 3]), m.ids([4, 0, 4, 2])], attributes: {} }),
  },
  rmsNorm: { plain: (m) => ({ inputs: [m.param([4, 8]), m.param([8])], attributes: { epsilon: 1e-5 } }) },
  rope: { plain: (m) => ({ inputs: [m.param([2, 3, 5, 16])], attributes: angles(m.g, 5, 8) }) },
  swiglu: { plain: (m) => ({ inputs: [m.param([3, 4], [-3, 3]), m.param([3, 4])], attributes: {} }) },
  geglu: { plain: (m) => ({ inputs: [m.param([3, 4], [-3, 3]), m.param([3, 4])], attributes: {} }) },
  attention: {
    grouped: (m) => ({
      inputs: [m.param([2, 4, 6, 8]), m.param([2, 2, 6, 8]), m.param([2, 2, 6, 8])],
      attributes: { mask: causal(m.g, 2, 6), blocks: 1 },
    }),
    blocks: (m) => ({
      inputs: [m.param([1, 2, 6, 8]), m.param([1, 1, 6, 8]), m.param([1, 1, 6, 8])],
      attributes: { mask: causal(m.g, 1, 6), blocks: 3 },
    }),
    scaled: (m) => ({
      inputs: [m.param([1, 2, 4, 8]), m.param([1, 2, 4, 8]), m.param([1, 2, 4, 8])],
      attributes: { mask: causal(m.g, 1, 4), blocks: 2, scale: 0.7 },
    }),
  },
  crossEntropy: {
    chunked: (m) => ({
      inputs: [m.param([5, 4]), m.param([7, 4])],
      attributes: {
        targets: m.ids([1, 6, 0, 6, 3]),
        weights: m.g.f32([0.2, 0.4, 0, 0.3, 0.1], [5, 1]),
        chunk: 2,
      },
    }),
    whole: (m) => ({
      inputs: [m.param([3, 4]), m.param([6, 4])],
      attributes: { targets: m.ids([1, 5, 0]), weights: m.g.f32([0.5, 0.25, 0.25], [3, 1]), chunk: 8 },
    }),
  },
  distillation: {
    chunked: (m) => ({
      inputs: [m.param([5, 4]), m.param([7, 4])],
      attributes: { ...distilled(m, 5, 7, [1, 6, 0, 6, 3], [0.2, 0.4, 0, 0.3, 0.1]), share: 0.7, chunk: 2 },
    }),
    onlyTeacher: (m) => ({
      inputs: [m.param([3, 4]), m.param([6, 4])],
      attributes: { ...distilled(m, 3, 6, [1, 5, 0], [0.5, 0.25, 0.25]), share: 1, chunk: 8 },
    }),
  },
};

/** A teacher of width 3. */
function distilled(
  m: Maker,
  rows: number,
  vocab: number,
  targets: readonly number[],
  weights: readonly number[],
) {
  const waves = (n: number, step: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * step));
  return {
    targets: m.ids(targets),
    weights: m.g.f32(weights, [rows, 1]),
    teacherHidden: m.g.f32(waves(rows * 3, 1.7), [rows, 3]),
    teacherHead: m.g.f32(waves(vocab * 3, 2.3), [vocab, 3]),
  };
}

function angles(g: DifferentiableGraph, s: number, half: number) {
  const angle = Array.from(
    { length: s * half },
    (_, i) => Math.floor(i / half) * 100 ** (-(i % half) / half),
  );
  return {
    cos: g.f32(angle.map(Math.cos), [s, half]),
    sin: g.f32(angle.map(Math.sin), [s, half]),
    minusSin: g.f32(
      angle.map((a) => -Math.sin(a)),
      [s, half],
    ),
  };
}

function causal(g: DifferentiableGraph, b: number, s: number): Value {
  const mask = Array.from({ length: b * s * s }, (_, i) => (i % s > Math.floor(i / s) % s ? -1e9 : 0));
  return g.f32(mask, [b, 1, s, s]);
}

/** Deterministic numbers in [0, 1). */
function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * Compares the analytic derivative along a direction with a fourth-order central difference, for each trainable
 * input, of loss = sum(output * random weights).
 */
async function worstError(primitive: Smooth, build: Case<Smooth>): Promise<number> {
  const random = uniform(7);
  const g = new DifferentiableGraph();
  const values: Record<string, Tensor> = {};
  const params: Value[] = [];
  const { inputs, attributes } = build({
    g,
    param(shape, [low, high] = [-1, 1]) {
      const value = g.parameter(`p${params.length}`, shape);
      params.push(value);
      values[value.name] = tensor.f32(
        Float32Array.from({ length: elementCount(shape) }, () => low + (high - low) * random()),
        shape,
      );
      return value;
    },
    ids: (ids) => {
      const value = g.input(`ids${Object.keys(values).length}`, 'i64', [ids.length]);
      values[value.name] = tensor.i64(ids, [ids.length]);
      return value;
    },
  });
  const output = g.apply(primitive, inputs, attributes);
  const shape = staticShape(output);
  const weights = g.f32(
    Float32Array.from({ length: elementCount(shape) }, () => random() * 2 - 1),
    shape,
  );
  const weighted = g.apply('mul', [output, weights], {});
  const loss = shape.length
    ? g.apply('reduceSum', [weighted], { axes: shape.map((_, i) => i), keepDims: false })
    : weighted;
  g.output(loss, 'loss');
  g.gradients(loss, params).forEach((value, i) => g.output(value, `grad${i}`));
  const session = await nodeBackend().createSession(encodeModel(g, { order: 'reversed' }), { threads: 1 });
  const lossAt = async () => (await session.run(values, ['loss']))['loss']!.data[0] as number;
  const gradients = await session.run(values);
  let worst = 0;
  for (const [i, param] of params.entries()) {
    const at = values[param.name]!.data as Float32Array;
    const base = at.slice();
    const gradient = gradients[`grad${i}`]!.data as Float32Array;
    expect(gradients[`grad${i}`]!.shape).toEqual(staticShape(param));
    const direction = Float32Array.from(gradient, (d) => d + (random() - 0.5) * 0.5);
    const norm = Math.hypot(...direction);
    const analytic = gradient.reduce((dot, d, k) => dot + (d * direction[k]!) / norm, 0);
    const move = async (epsilon: number) => {
      at.set(base.map((x, k) => x + (epsilon * direction[k]!) / norm));
      return lossAt();
    };
    let best = Infinity;
    for (const e of [0.1, 0.05, 0.02]) {
      const slope =
        (8 * ((await move(e)) - (await move(-e))) - ((await move(2 * e)) - (await move(-2 * e)))) / (12 * e);
      best = Math.min(best, Math.abs(slope - analytic) / (Math.abs(analytic) + 1e-3));
    }
    at.set(base);
    worst = Math.max(worst, best);
  }
  await session.release();
  return worst;
}

describe.each(Object.keys(cases) as Smooth[])('%s', (primitive) => {
  test.each(Object.entries(cases[primitive]))(
    'gradient of case %s equals finite differences',
    async (_, build) => {
      expect(await worstError(primitive, build as Case<Smooth>)).toBeLessThan(1e-3);
    },
  );
});

test('the loss of a value it does not depend on is an error that names it', () => {
  const g = new DifferentiableGraph();
  const used = g.parameter('used', [2]);
  const unused = g.parameter('unused', [2]);
  const loss = g.apply('reduceSum', [used], { axes: [0], keepDims: false });
  expect(() => g.gradients(loss, [unused])).toThrow(/does not depend/);
});

test('a value used twice receives the sum of its gradients', async () => {
  const g = new DifferentiableGraph();
  const x = g.parameter('x', [2]);
  const loss = g.apply('reduceSum', [g.apply('mul', [x, x], {})], { axes: [0], keepDims: false });
  g.output(g.gradients(loss, [x])[0]!, 'dx');
  const session = await nodeBackend().createSession(encodeModel(g));
  const { dx } = await session.run({ x: tensor.f32([3, -4], [2]) });
  expect([...(dx!.data as Float32Array)]).toEqual([6, -8]);
  await session.release();
});
