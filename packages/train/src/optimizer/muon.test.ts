import { tensor } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { expect, test } from 'vitest';
import { createMuon, muonDefaults } from './muon.js';

type Matrix = number[][];

const multiply = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0]!.map((_, j) => row.reduce((sum, x, k) => sum + x * b[k]![j]!, 0)));
const transpose = (a: Matrix): Matrix => a[0]!.map((_, j) => a.map((row) => row[j]!));
const combine = (...terms: [number, Matrix][]): Matrix =>
  terms[0]![1].map((row, i) => row.map((_, j) => terms.reduce((sum, [f, m]) => sum + f * m[i]![j]!, 0)));

/** The update in float64, as the paper writes it. */
function reference(w: Matrix, g: Matrix, m: Matrix, lr: number, scale: number): { w: Matrix; m: Matrix } {
  const { momentum: mu, weightDecay } = muonDefaults;
  const m2 = combine([mu, m], [scale, g]);
  const u = combine([scale, g], [mu, m2]);
  const norm = Math.hypot(...u.flat());
  const tall = u.length > u[0]!.length;
  let x = (tall ? transpose(u) : u).map((row) => row.map((v) => v / norm));
  for (let i = 0; i < 5; i++) {
    const a = multiply(x, transpose(x));
    x = combine([3.4445, x], [1, multiply(combine([-4.775, a], [2.0315, multiply(a, a)]), x)]);
  }
  const o = tall ? transpose(x) : x;
  const size = 0.2 * Math.sqrt(Math.max(w.length, w[0]!.length));
  return { w: combine([1 - lr * weightDecay, w], [-lr * size, o]), m: m2 };
}

test.each([
  [6, 6],
  [4, 10],
  [10, 4],
])('a %d x %d matrix follows the float64 reference, in place', async (rows, columns) => {
  const make = (seed: number): Matrix =>
    Array.from({ length: rows }, (_, i) =>
      Array.from({ length: columns }, (_, j) => Math.sin(seed + i * 3.7 + j * 1.3)),
    );
  let [w, m] = [make(1), make(2)];
  const muon = createMuon(nodeBackend());
  const tensors = {
    weight: tensor.f32(w.flat(), [rows, columns]),
    gradient: tensor.f32(make(0).flat(), [rows, columns]),
    momentum: tensor.f32(m.flat(), [rows, columns]),
  };
  for (let step = 1; step <= 3; step++) {
    const g = make(step * 10);
    (tensors.gradient.data as Float32Array).set(g.flat());
    await muon.update(tensors, 0.05, 0.5);
    ({ w, m } = reference(w, g, m, 0.05, 0.5));
  }
  await muon.release();
  w.flat().forEach((x, i) => expect(tensors.weight.data[i]).toBeCloseTo(x, 4));
  m.flat().forEach((x, i) => expect(tensors.momentum.data[i]).toBeCloseTo(x, 4));
});
