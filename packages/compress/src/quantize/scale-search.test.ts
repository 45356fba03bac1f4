import { toDense } from '@edgedesk/models';
import { f16BitsToF32, f32ToF16Bits } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import { bellShaped } from '../model.case.js';
import { roundToGrids } from './grid.js';
import { roundToNearest } from './round-to-nearest.js';
import { searchScales } from './scale-search.js';
import { nbitFormat } from './settings.js';

const shape = [16, 80] as const; // the last group of a row is half full
const weight = bellShaped(16 * 80, 0.05);
const importance = Float32Array.from({ length: 80 }, (_, i) => 0.1 + 10 * Math.sin(i) ** 8);

/** Weighted squared error of each group. */
function errors(dense: Float32Array): number[] {
  const sums = new Array<number>(16 * 3).fill(0);
  dense.forEach((x, i) => {
    const column = i % 80;
    sums[Math.floor(i / 80) * 3 + Math.floor(column / 32)]! += importance[column]! * (x - weight[i]!) ** 2;
  });
  return sums;
}

const formats = ([2, 3, 4, 8] as const).flatMap((bits) =>
  [false, true].map((asymmetric) => nbitFormat({ bits, groupSize: 32, asymmetric })),
);

describe.each(formats)('scales searched at $levelBits in $bits bits, asymmetric $asymmetric', (format) => {
  const grids = searchScales(weight, shape, format, importance, 'w');
  const searched = errors(toDense(roundToGrids(weight, shape, format, grids)));
  const rounded = errors(toDense(roundToNearest(weight, shape, format, 'w')));

  it('never have more weighted error than rounding to nearest, and together less', () => {
    searched.forEach((error, group) => expect(error).toBeLessThanOrEqual(rounded[group]! * (1 + 1e-4)));
    const total = (all: readonly number[]) => all.reduce((a, b) => a + b, 0);
    expect(total(searched)).toBeLessThan(0.95 * total(rounded));
  });

  it('are on the binary16 grid', () => {
    for (const scale of grids.scales) expect(f16BitsToF32(f32ToF16Bits(scale))).toBe(scale);
  });

  it('keep groups of zeros, and refuse what binary16 cannot reach', () => {
    const zeros = searchScales(new Float32Array(80), [1, 80], format, importance, 'w');
    expect(
      Math.max(...toDense(roundToGrids(new Float32Array(80), [1, 80], format, zeros)).map(Math.abs)),
    ).toBe(0);
    const huge = new Float32Array(80).fill(1e9, 5);
    expect(() => searchScales(huge, [1, 80], format, importance, 'm, tensor "t"')).toThrowError(
      expect.objectContaining({
        where: 'm, tensor "t"',
        message: expect.stringContaining('row 0') as string,
      }),
    );
  });
});
