import { describe, expect, test } from 'vitest';
import { DifferentiableGraph, encodeModel, f16BitsToF32, f32ToF16Bits, tensor } from '../../index.js';
import { nodeBackend } from '../../node/index.js';

interface Layout {
  readonly rows: number;
  readonly columns: number;
  readonly groupSize: number;
  readonly lowest: number;
  readonly highest: number;
  readonly middle: number;
  readonly asymmetric?: boolean;
}

const half = (x: number): number => f16BitsToF32(f32ToF16Bits(x));

/** Deterministic numbers in [-1, 1). */
function numbers(count: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

const layouts: Readonly<Record<string, Layout>> = {
  'four bits': { rows: 3, columns: 64, groupSize: 32, lowest: 0, highest: 15, middle: 8 },
  'three bits in four, a short last group': {
    rows: 5,
    columns: 40,
    groupSize: 16,
    lowest: 4,
    highest: 11,
    middle: 8,
  },
  'eight bits': { rows: 2, columns: 32, groupSize: 16, lowest: 0, highest: 255, middle: 128 },
  'two bits with zero points': {
    rows: 4,
    columns: 32,
    groupSize: 16,
    lowest: 0,
    highest: 3,
    middle: 2,
    asymmetric: true,
  },
};

/** Weights of which some clip, scales of either sign, one of them 0. */
function makeCase({ rows, columns, groupSize, highest, lowest, asymmetric = false }: Layout) {
  const groups = Math.ceil(columns / groupSize);
  const w = numbers(rows * columns, 1);
  const s = numbers(rows * groups, 2).map(
    (x, i) => ((Math.sign(x) * (1.6 + 0.4 * x)) / (highest - lowest)) * (i === 1 ? 0 : 1),
  );
  const zeros = asymmetric ? numbers(rows * groups, 3).map((x) => (x > 0 ? 2 : 1)) : null;
  return { groups, w, s, zeros, upstream: numbers(rows * columns, 4) };
}

async function run(layout: Layout) {
  const { rows, columns, groupSize, lowest, highest, middle } = layout;
  const { groups, w, s, zeros, upstream } = makeCase(layout);
  const g = new DifferentiableGraph();
  const [wv, sv] = [g.parameter('w', [rows, columns]), g.parameter('s', [rows, groups])];
  const zeroPoints = zeros ? g.f32(zeros, [rows, groups]) : undefined;
  const y = g.apply('fakeQuantize', [wv, sv], { groupSize, lowest, highest, middle, zeroPoints });
  const weighted = g.apply('mul', [y, g.f32(upstream, [rows, columns])], {});
  const loss = g.apply('reduceSum', [weighted], { axes: [0, 1], keepDims: false });
  g.output(y, 'y');
  g.gradients(loss, [wv, sv]).forEach((value, i) => g.output(value, ['dw', 'ds'][i]!));
  const session = await nodeBackend().createSession(encodeModel(g), { threads: 1 });
  const result = await session.run({ w: tensor.f32(w, [rows, columns]), s: tensor.f32(s, [rows, groups]) });
  await session.release();
  const of = (name: string) => result[name]!.data as Float32Array;
  return { y: of('y'), dw: of('dw'), ds: of('ds') };
}

describe.each(Object.entries(layouts))('%s', (_, layout) => {
  const { rows, columns, groupSize, lowest, highest, middle } = layout;
  const { groups, w, s, zeros, upstream } = makeCase(layout);
  const groupOf = (i: number): number =>
    Math.floor(i / columns) * groups + Math.floor((i % columns) / groupSize);
  const levelOf = (i: number): { x: number; free: number; k: number } => {
    const at = groupOf(i);
    const scale = half(s[at]!);
    const zero = zeros?.[at] ?? middle;
    const x = scale === 0 ? w[i]! : w[i]! / scale;
    const free = Math.floor(x + 0.5) + zero;
    return { x, free: free - zero, k: Math.min(highest, Math.max(lowest, free)) - zero };
  };

  test('values are the nearest levels times the stored scale', async () => {
    const { y } = await run(layout);
    let clipped = 0;
    for (let i = 0; i < rows * columns; i++) {
      const { k, free } = levelOf(i);
      clipped += Number(k !== free);
      expect(y[i]! + 0).toBe(Math.fround(k * half(s[groupOf(i)]!)) + 0);
    }
    expect(clipped).toBeGreaterThan(0);
  });

  test('gradients are the straight-through ones', async () => {
    const { dw, ds } = await run(layout);
    const expected = new Float64Array(rows * groups);
    for (let i = 0; i < rows * columns; i++) {
      const { x, free, k } = levelOf(i);
      if (half(s[groupOf(i)]!) === 0) continue;
      expect(dw[i]! + 0).toBe(k === free ? upstream[i]! : 0);
      expected[groupOf(i)]! += upstream[i]! * (k === free ? k - x : k);
    }
    expected.forEach((value, at) => {
      if (half(s[at]!) !== 0) expect(Math.abs(ds[at]! - value)).toBeLessThan(1e-4 * (1 + Math.abs(value)));
    });
  });

  test('and those of the function whose rounding is frozen where it is, by finite differences', async () => {
    const { dw, ds } = await run(layout);
    // w^ = s (clip(w / s) + r) with the rounding residue r held fixed.
    const lossAt = (dwStep: Float64Array, dsStep: Float64Array, epsilon: number): number => {
      let loss = 0;
      for (let i = 0; i < rows * columns; i++) {
        const at = groupOf(i);
        const { x, free, k } = levelOf(i);
        const scale = half(s[at]!) + epsilon * dsStep[at]!;
        if (half(s[at]!) === 0) continue;
        const moved = (w[i]! + epsilon * dwStep[i]!) / scale;
        loss += upstream[i]! * scale * (k === free ? moved + (k - x) : k);
      }
      return loss;
    };
    const direction = (values: Float32Array, seed: number) =>
      Float64Array.from(numbers(values.length, seed), (x, i) =>
        half(s[values.length === w.length ? groupOf(i) : i]!) === 0 ? 0 : x * 1e-3,
      );
    const [a, b] = [direction(w, 5), direction(s, 6)];
    const slope = (lossAt(a, b, 1) - lossAt(a, b, -1)) / 2;
    const analytic =
      a.reduce((sum, x, i) => sum + x * dw[i]!, 0) + b.reduce((sum, x, at) => sum + x * ds[at]!, 0);
    expect(Math.abs(slope - analytic)).toBeLessThan(1e-3 * Math.abs(analytic) + 1e-6);
  });
});
