import type { NBitFormat } from '@edgedesk/models';
import { groupsPerRow, levelRange, packRows, toDense, unpackRows } from '@edgedesk/models';
import { nodeBackend } from '@edgedesk/tensor/node';
import { afterAll, describe, expect, it } from 'vitest';
import { inverseCholesky } from '../linear-algebra/cholesky.js';
import { Gemm } from '../linear-algebra/gemm.js';
import { bellShaped } from '../model.case.js';
import { factorHessian, gptq, shrinkage } from './gptq.js';
import { roundToNearest } from './round-to-nearest.js';
import { searchScales } from './scale-search.js';
import { nbitFormat } from './settings.js';

const gemm = new Gemm(nodeBackend(), 1);
afterAll(() => gemm.release());

/** Inputs `[tokens, n]` that move together, as activations do, some of them much larger than others. */
function correlatedInputs(tokens: number, n: number): Float64Array {
  const noise = bellShaped(tokens * n, 1, 5);
  const shared = bellShaped(tokens * 8, 1, 6);
  const mixing = bellShaped(8 * n, 1, 7);
  const x = new Float64Array(tokens * n);
  for (let t = 0; t < tokens; t++) {
    for (let i = 0; i < n; i++) {
      let sum = 0.3 * noise[t * n + i]!;
      for (let k = 0; k < 8; k++) sum += shared[t * 8 + k]! * mixing[k * n + i]!;
      x[t * n + i] = sum * (1 + 3 * Math.abs(Math.sin(i)));
    }
  }
  return x;
}

function secondMoment(x: Float64Array, n: number): Float64Array {
  const tokens = x.length / n;
  const H = new Float64Array(n * n);
  for (let t = 0; t < tokens; t++) {
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) H[i * n + j]! += (x[t * n + i]! * x[t * n + j]!) / tokens;
  }
  return H;
}

/** Mean squared difference of the outputs x W^T. */
function outputError(
  x: Float64Array,
  a: Float32Array,
  b: Float32Array,
  [rows, n]: readonly [number, number],
): number {
  let error = 0;
  for (let t = 0; t < x.length / n; t++) {
    for (let row = 0; row < rows; row++) {
      let off = 0;
      for (let i = 0; i < n; i++) off += x[t * n + i]! * (a[row * n + i]! - b[row * n + i]!);
      error += off * off;
    }
  }
  return error / ((x.length / n) * rows);
}

/** Inverse by Gauss and Jordan, without any of the tricks under test. */
function inverseOf(matrix: readonly (readonly number[])[]): number[][] {
  const n = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...row.map((_, j) => Number(i === j))]);
  for (let i = 0; i < n; i++) {
    const pivot = rows[i]![i]!;
    rows[i] = rows[i]!.map((x) => x / pivot);
    for (let r = 0; r < n; r++) {
      const f = rows[r]![i]!;
      if (r !== i) rows[r] = rows[r]!.map((x, j) => x - f * rows[i]![j]!);
    }
  }
  return rows.map((row) => row.slice(n));
}

/**
 * Optimal brain quantization in a fixed column order, straight from its equations: after column q the others change by
 * -(w_q - quant(w_q)) / [H^-1]_qq * [H^-1]_q,: and column q is eliminated from H^-1. All in f64.
 */
function reference(
  W: Float32Array,
  shape: readonly [number, number],
  format: NBitFormat,
  H: Float64Array,
): Uint8Array {
  const [rows, n] = shape;
  const diagonal = Array.from({ length: n }, (_, i) => H[i * n + i]!);
  const mean = diagonal.reduce((a, b) => a + b, 0) / n;
  const damped = diagonal.map((x) => (x === 0 ? mean : x) + 0.01 * mean);
  const { scales, zeroPoints } = searchScales(W, shape, format, Float32Array.from(damped), 'w');
  const order = diagonal.map((_, i) => i).sort((a, b) => diagonal[b]! - diagonal[a]! || a - b);
  const Hinv = inverseOf(
    diagonal.map((_, i) => diagonal.map((_, j) => (i === j ? damped[i]! : (1 - shrinkage) * H[i * n + j]!))),
  );
  const { lowest, highest, middle } = levelRange(format);
  const w = Float64Array.from(W);
  const levels = new Uint8Array(W.length);
  const left = new Set(order);
  for (const q of order) {
    left.delete(q);
    for (let row = 0; row < rows; row++) {
      const at = row * groupsPerRow(n, format.groupSize) + Math.floor(q / format.groupSize);
      const zero = zeroPoints?.[at] ?? middle;
      const level = Math.floor(w[row * n + q]! / scales[at]! + zero + 0.5);
      levels[row * n + q] = Math.min(highest, Math.max(lowest, level));
      const err = (w[row * n + q]! - (levels[row * n + q]! - zero) * scales[at]!) / Hinv[q]![q]!;
      for (const j of left) w[row * n + j]! -= err * Hinv[q]![j]!;
    }
    for (const i of left) {
      const f = Hinv[i]![q]! / Hinv[q]![q]!;
      for (const j of left) Hinv[i]![j]! -= f * Hinv[q]![j]!;
    }
  }
  return levels;
}

const formats = ([2, 3, 4, 8] as const).flatMap((bits) =>
  [false, true].map((asymmetric) => nbitFormat({ bits, groupSize: 32, asymmetric })),
);

describe.each(formats)('GPTQ at $levelBits in $bits bits, asymmetric $asymmetric', (format) => {
  it.each([
    [24, 80], // one block of columns; the last group is half full
    [9, 160], // two blocks, the second one narrower
  ])('%i x %i: the levels of a plain implementation in double precision', async (rows, n) => {
    const W = bellShaped(rows * n, 0.05, rows);
    const H = secondMoment(correlatedInputs(4 * n, n), n);
    const { levels } = await gptq(W, [rows, n], format, await factorHessian(H, gemm, 'w'), gemm, 'w');
    const expected = reference(W, [rows, n], format, H);
    // Only a weight that lies exactly between two levels may fall to the other side in single precision.
    const different = levels.filter((level, i) => level !== expected[i]).length;
    expect(different).toBeLessThanOrEqual(format.bits === 8 ? 0.002 * levels.length : 0);
  });

  it('comes closer to the outputs than rounding, on inputs it has not seen too', async () => {
    const shape = [32, 96] as const;
    const W = bellShaped(32 * 96, 0.05);
    const x = correlatedInputs(800, 96);
    const H = secondMoment(x.subarray(0, 400 * 96), 96);
    const ours = toDense(await gptq(W, shape, format, await factorHessian(H, gemm, 'w'), gemm, 'w'));
    const rounded = toDense(roundToNearest(W, shape, format, 'w'));
    const unseen = x.subarray(400 * 96);
    expect(outputError(unseen, ours, W, shape)).toBeLessThan(0.5 * outputError(unseen, rounded, W, shape));
  });
});

describe('GPTQ', () => {
  const format: NBitFormat = { kind: 'nbit', bits: 4, groupSize: 32, asymmetric: false };

  it('needs no order of columns at run time: packed and unpacked it is the same weight', async () => {
    const shape = [6, 160] as const;
    const W = bellShaped(6 * 160, 0.05);
    const H = secondMoment(correlatedInputs(500, 160), 160);
    const linear = await gptq(W, shape, format, await factorHessian(H, gemm, 'w'), gemm, 'w');
    const stored = unpackRows(packRows(linear.levels, 6, 160, 4), 6, 160, 4);
    const dense = toDense(linear);
    stored.forEach((level, i) => {
      const scale = linear.scales[Math.floor(i / 160) * 5 + Math.floor((i % 160) / 32)]!;
      expect(dense[i]).toBe(Math.fround((level - 8) * scale));
    });
  });

  it('keeps the weights of inputs that never fired, and works on no input at all', async () => {
    const W = bellShaped(4 * 64, 0.05);
    const x = correlatedInputs(200, 64);
    for (let t = 0; t < 200; t++) x[t * 64 + 10] = 0;
    const H = secondMoment(x, 64);
    const linear = await gptq(W, [4, 64], format, await factorHessian(H, gemm, 'w'), gemm, 'w');
    for (let row = 0; row < 4; row++) {
      const step = Math.abs(linear.scales[row * 2]!);
      expect(Math.abs(toDense(linear)[row * 64 + 10]! - W[row * 64 + 10]!)).toBeLessThanOrEqual(
        0.5001 * step,
      );
    }
    const nothing = await factorHessian(new Float64Array(64 * 64), gemm, 'w');
    const plain = await gptq(W, [4, 64], format, nothing, gemm, 'w');
    const grids = searchScales(W, [4, 64], format, new Float32Array(64).fill(1), 'w');
    expect(plain.scales).toEqual(grids.scales);
  });

  it('damps more until the matrix can be factored, and says when that is hopeless', async () => {
    const indefinite = Float64Array.from({ length: 16 }, (_, i) =>
      i % 5 === 0 ? 1 : 1.05 / (1 - shrinkage),
    );
    const factor = await factorHessian(indefinite, gemm, 'w');
    expect(factor.importance[0]).toBeCloseTo(1.1, 5);
    const hopeless = Float64Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 9));
    await expect(factorHessian(hopeless, gemm, 'layer 3')).rejects.toMatchObject({ where: 'layer 3' });
  });
});

it('inverts Cholesky factors block by block', async () => {
  const n = 290;
  const H = secondMoment(correlatedInputs(600, n), n);
  for (let i = 0; i < n; i++) H[i * n + i]! += 1;
  const inverse = await inverseCholesky({ rows: n, columns: n, data: Float32Array.from(H) }, gemm);
  const L = inverse!.data;
  expect(L.every((x, at) => at % n <= Math.floor(at / n) || x === 0)).toBe(true);
  // L^-1 A L^-T = 1
  const half = await gemm.multiply('ab', inverse!, { rows: n, columns: n, data: Float32Array.from(H) });
  const { data } = await gemm.multiply('abt', half, inverse!);
  const off = data.map((x, i) => Math.abs(x - Number(i % (n + 1) === 0)));
  expect(off.reduce((a, b) => Math.max(a, b))).toBeLessThan(2e-4);
});
