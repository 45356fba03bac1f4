import type { NBitLinear } from '@edgedesk/models';
import { groupsPerRow, levelRange, toDense } from '@edgedesk/models';
import { nodeBackend } from '@edgedesk/tensor/node';
import { afterAll, describe, expect, it } from 'vitest';
import { Gemm } from '../linear-algebra/gemm.js';
import type { Matrix } from '../linear-algebra/gemm.js';
import { bellShaped } from '../model.case.js';
import { descend } from './descend.js';
import { toHalf } from './grid.js';
import { roundToNearest } from './round-to-nearest.js';
import { nbitFormat } from './settings.js';

const gemm = new Gemm(nodeBackend(), 1);
afterAll(() => gemm.release());

/** A second moment whose inputs move together, positive definite. */
function secondMoment(n: number): Matrix {
  const mixing = bellShaped(n * 12, 1, 3);
  const data = new Float32Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let sum = i === j ? 1 : 0;
      for (let k = 0; k < 12; k++) sum += mixing[i * 12 + k]! * mixing[j * 12 + k]!;
      data[i * n + j] = sum;
    }
  }
  return { rows: n, columns: n, data };
}

/** tr((Q - W) H (Q - W)^T) in f64. */
function errorOf(Q: Float32Array, W: Float32Array, H: Matrix): number {
  const n = H.columns;
  let error = 0;
  for (let row = 0; row < W.length; row += n) {
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let j = 0; j < n; j++) sum += H.data[i * n + j]! * (Q[row + j]! - W[row + j]!);
      error += sum * (Q[row + i]! - W[row + i]!);
    }
  }
  return error;
}

const formats = [
  { bits: 2, groupSize: 32, asymmetric: false },
  { bits: 3, groupSize: 32, asymmetric: false },
  { bits: 4, groupSize: 32, asymmetric: false },
  { bits: 4, groupSize: 32, asymmetric: true },
  { bits: 4, groupSize: 128, asymmetric: false },
  { bits: 8, groupSize: 16, asymmetric: false },
] as const;

describe.each(formats.map((format) => nbitFormat(format)))(
  '$levelBits in $bits bits, groups of $groupSize, asymmetric $asymmetric',
  (format) => {
    const shape = [4, 168] as const; // the last block and the last group are not full
    const W = bellShaped(4 * 168, 0.05);
    const H = secondMoment(168);
    const rounded = roundToNearest(W, shape, format, 'w');

    it('lowers the error of the outputs with each sweep, by half in all', async () => {
      let last = errorOf(toDense(rounded), W, H);
      const first = last;
      let linear: NBitLinear = rounded;
      for (let sweep = 0; sweep < 4; sweep++) {
        linear = await descend(W, linear, H, gemm, 1);
        const error = errorOf(toDense(linear), W, H);
        expect(error).toBeLessThanOrEqual(last * (1 + 1e-6));
        last = error;
      }
      expect(last).toBeLessThan(0.5 * first);
    });

    it('ends where no level and no scale can better itself alone, on the grid that is stored', async () => {
      const linear = await descend(W, rounded, H, gemm, 60);
      const { lowest, highest } = levelRange(format);
      const Q = toDense(linear);
      const least = errorOf(Q, W, H);
      const groups = groupsPerRow(168, format.groupSize);
      for (let at = 0; at < Q.length; at += 5) {
        const scale =
          linear.scales[Math.floor(at / 168) * groups + Math.floor((at % 168) / format.groupSize)]!;
        for (const step of [-1, 1]) {
          const level = linear.levels[at]! + step;
          if (level < lowest || level > highest) continue;
          const moved = Q.slice();
          moved[at]! += step * scale;
          expect(errorOf(moved, W, H)).toBeGreaterThan(least * (1 - 1e-5));
        }
      }
      expect(linear.levels.every((level) => level >= lowest && level <= highest)).toBe(true);
      expect(linear.scales.every((scale) => scale === toHalf(scale))).toBe(true);
      expect(linear.zeroPoints).toEqual(rounded.zeroPoints);
    });
  },
);

it('leaves groups of zeros and the layer it is given as they are', async () => {
  const format = nbitFormat({ bits: 4, groupSize: 32, asymmetric: false });
  const W = bellShaped(4 * 64, 0.05);
  W.fill(0, 0, 32);
  const given = roundToNearest(W, [4, 64], format, 'w');
  const before = structuredClone(given);
  const linear = await descend(W, given, secondMoment(64), gemm, 2);
  expect(given).toEqual(before);
  expect(Math.abs(linear.scales[0]!)).toBe(0);
  expect(
    toDense(linear)
      .subarray(0, 32)
      .every((weight) => weight === 0),
  ).toBe(true);
});
