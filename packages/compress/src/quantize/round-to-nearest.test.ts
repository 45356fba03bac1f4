import type { NBitFormat } from '@edgedesk/models';
import { groupsPerRow, informationBits, levelRange, toDense } from '@edgedesk/models';
import { f16BitsToF32, f32ToF16Bits } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import { bellShaped } from '../model.case.js';
import { roundToNearest } from './round-to-nearest.js';
import { nbitFormat } from './settings.js';

const formats: readonly NBitFormat[] = [false, true].flatMap((asymmetric) => [
  ...([2, 3, 4, 8] as const).map((bits) => nbitFormat({ bits, groupSize: 32, asymmetric })),
  nbitFormat({ bits: 2, groupSize: 32, asymmetric }, 4),
]);
const named = formats.map((format) => ({
  name: `${informationBits(format)} in ${format.bits} bits, ${format.asymmetric ? 'asymmetric' : 'symmetric'}`,
  format,
}));

const meanSquare = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0) / a.length;

describe.each(named)('$name', ({ format }) => {
  const shape = [5, 80] as const; // the last group of a row is half full
  const weight = bellShaped(5 * 80, 0.02);
  const quantized = roundToNearest(weight, shape, format, 'w');
  const groups = groupsPerRow(80, 32);
  const { lowest, highest, middle } = levelRange(format);

  it('gives every weight the nearest level of its stored grid', () => {
    for (let i = 0; i < weight.length; i++) {
      const group = Math.floor(i / 80) * groups + Math.floor((i % 80) / 32);
      const zero = quantized.zeroPoints?.[group] ?? middle;
      const off = (level: number) => Math.abs(weight[i]! - (level - zero) * quantized.scales[group]!);
      const allowed = Array.from({ length: 2 ** informationBits(format) }, (_, i) => lowest + i);
      expect(allowed.at(-1)).toBe(highest);
      expect(allowed).toContain(quantized.levels[i]);
      const best = Math.min(...allowed.map(off));
      expect(off(quantized.levels[i]!)).toBeLessThanOrEqual(best * (1 + 1e-5) + 1e-9);
    }
  });

  it('keeps scales on the binary16 grid', () => {
    expect(quantized.scales).toHaveLength(5 * groups);
    for (const scale of quantized.scales) expect(f16BitsToF32(f32ToF16Bits(scale))).toBe(scale);
  });

  it('keeps zeros, and groups of zeros', () => {
    const sparse = weight.slice().fill(0, 80, 160);
    sparse[3] = 0;
    const back = toDense(roundToNearest(sparse, shape, format, 'w'));
    expect(Math.abs(back[3]!)).toBe(0);
    expect(Math.max(...back.subarray(80, 160).map(Math.abs))).toBe(0);
  });

  it('takes groups of one sign, tiny and large weights', () => {
    for (const [low, high] of [
      [0.5, 1],
      [-1, -0.5],
      [1e-7, 3e-7],
      [-3e4, 6e4],
    ] as const) {
      const values = Float32Array.from({ length: 32 }, (_, i) => low + ((high - low) * i) / 31);
      const linear = roundToNearest(values, [1, 32], format, 'w');
      const step = Math.abs(linear.scales[0]!);
      const largest = Math.max(Math.abs(low), Math.abs(high));
      // half a step, or the whole of the extra level that one sign has; the scale itself is off by up to 2^-11 of its
      // value or, below binary16's normal range, 2^-25
      const allowed = step * (format.asymmetric ? 0.51 : 1.01) + largest * 2 ** -10 + 2 ** (format.bits - 25);
      toDense(linear).forEach((x, i) => expect(Math.abs(x - values[i]!)).toBeLessThanOrEqual(allowed));
    }
  });
});

it('has less error at 4 bits than scaling by the largest magnitude over 7', () => {
  const weight = bellShaped(64 * 128, 0.02);
  const plain = weight.slice();
  for (let start = 0; start < plain.length; start += 32) {
    const group = plain.subarray(start, start + 32);
    const scale = Math.max(...group.map(Math.abs)) / 7;
    group.forEach((x, i) => (group[i] = Math.round(x / scale) * scale));
  }
  const format: NBitFormat = { kind: 'nbit', bits: 4, groupSize: 32, asymmetric: false };
  const ours = toDense(roundToNearest(weight, [64, 128], format, 'w'));
  expect(meanSquare(ours, weight)).toBeLessThan(0.85 * meanSquare(plain, weight));
});

it('refuses weights that float16 scales cannot reach, by name', () => {
  const format: NBitFormat = { kind: 'nbit', bits: 4, groupSize: 32, asymmetric: false };
  const weight = new Float32Array(64).fill(1e9, 40);
  expect(() => roundToNearest(weight, [2, 32], format, 'm, tensor "t"')).toThrowError(
    expect.objectContaining({ where: 'm, tensor "t"', message: expect.stringContaining('row 1') as string }),
  );
});
