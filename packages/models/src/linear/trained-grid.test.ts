import { describe, expect, it } from 'vitest';
import type { WeightSource } from '../weights.js';
import { randomNBit } from './linear.case.js';
import type { NBitFormat } from './linear.js';
import { readTrainedGrid, type TrainedGrid, trainedGridTensors } from './trained-grid.js';

const formats: readonly NBitFormat[] = [
  { kind: 'nbit', bits: 4, groupSize: 32, asymmetric: false },
  { kind: 'nbit', bits: 4, levelBits: 3, groupSize: 16, asymmetric: true },
  { kind: 'nbit', bits: 8, groupSize: 128, asymmetric: false },
];

type Values = Record<string, { readonly shape: readonly number[]; readonly values: Float32Array<ArrayBuffer> }>;

function sourceOf(tensors: Values): WeightSource {
  return {
    tensors: new Map(
      Object.entries(tensors).map(([name, { shape }]) => [name, { name, dtype: 'f32', shape }]),
    ),
    readF32: (name) => Promise.resolve(tensors[name]!.values.slice()),
    close: () => Promise.resolve(),
  };
}

/** A checkpoint with a weight of 5 rows and 72 columns on a grid. */
function stored(format: NBitFormat): { tensors: Values; grid: TrainedGrid } {
  const { scales, zeroPoints } = randomNBit(format, [5, 72]);
  const range = 2 ** (format.levelBits ?? format.bits);
  const grid: TrainedGrid = {
    format,
    scales: Float32Array.from(scales),
    ...(zeroPoints ? { zeroPoints: zeroPoints.map((zero) => zero % range) as Uint8Array<ArrayBuffer> } : {}),
  };
  const tensors: Values = { w: { shape: [5, 72], values: new Float32Array(360) } };
  for (const { name, shape, values } of trainedGridTensors('w', grid, [5, 72])) tensors[name] = { shape, values };
  return { tensors, grid };
}

describe('a trained grid', () => {
  it.each(formats)('is read as it was written: %o', async (format) => {
    const { tensors, grid } = stored(format);
    expect(await readTrainedGrid(sourceOf(tensors), 'w', 'm')).toEqual(grid);
  });

  it('is null for a plain checkpoint', async () => {
    const plain = sourceOf({ w: { shape: [2, 32], values: new Float32Array(64) } });
    expect(await readTrainedGrid(plain, 'w', 'm')).toBeNull();
    expect(await readTrainedGrid(plain, 'other', 'm')).toBeNull();
  });

  it.each<[string, (tensors: Values) => void, RegExp]>([
    ['bits', ({ 'w.grid': grid }) => (grid!.values[0] = 5), /`w\.grid` describes no format/],
    ['levels', ({ 'w.grid': grid }) => (grid!.values[1] = 7), /`w\.grid` describes no format/],
    ['a group size', ({ 'w.grid': grid }) => (grid!.values[2] = 1e9), /`w\.grid` describes no format/],
    [
      'a shape',
      (tensors) => (tensors['w.grid'] = { shape: [2], values: Float32Array.of(4, 4) }),
      /does not hold 3 numbers/,
    ],
    [
      'scales',
      (tensors) => (tensors['w.grid_scales'] = { shape: [3], values: Float32Array.of(1, 1, 1) }),
      /`w\.grid_scales` is not \[5, 5\], a number for each group/,
    ],
    [
      'an infinite scale',
      ({ 'w.grid_scales': scales }) => (scales!.values[3] = Infinity),
      /holds a scale that is not finite/,
    ],
    [
      'a zero point',
      ({ 'w.grid_zero_points': zeros }) => (zeros!.values[1] = 8),
      /what is no level from 0 to 7/,
    ],
    ['missing scales', (tensors) => delete tensors['w.grid_scales'], /`w\.grid_scales` is not \[5, 5\]/],
  ])('is refused with wrong %s', async (_, change, message) => {
    const { tensors } = stored(formats[1]!);
    change(tensors);
    await expect(readTrainedGrid(sourceOf(tensors), 'w', 'm')).rejects.toThrow(message);
  });
});
