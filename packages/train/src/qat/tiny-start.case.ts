import { groupsPerRow, levelRange, type NBitFormat, type NBitLinear, weightShapes } from '@edgedesk/models';
import { f16ToF32, f32ToF16 } from '@edgedesk/tensor';
import { fromScratch } from '../initialise/initial-weights.js';
import { tinyConfig } from '../trainer/tiny-run.case.js';
import { quantizedWeight } from './quantized-weight.js';

/** Plain rounding to grids as wide as each group's largest weight, every seventh of them turned around. */
export function rounded(
  weight: Float32Array,
  shape: readonly [number, number],
  format: NBitFormat,
): NBitLinear {
  const [rows, columns] = shape;
  const { groupSize, bits, levelBits, asymmetric } = format;
  const groups = groupsPerRow(columns, groupSize);
  const { highest, lowest } = levelRange(format);
  const extent = Float32Array.from({ length: rows * groups }, (_, at) => {
    const start = Math.floor(at / groups) * columns + (at % groups) * groupSize;
    const end = Math.min(start + groupSize, (Math.floor(at / groups) + 1) * columns);
    const largest = weight.subarray(start, end).reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    return ((2 * largest) / (highest - lowest)) * (at % 7 === 0 ? -1 : 1);
  });
  const scales = f16ToF32(f32ToF16(extent));
  const grid: NBitLinear = {
    kind: 'nbit',
    shape,
    bits,
    ...(levelBits ? { levelBits } : {}),
    groupSize,
    levels: new Uint8Array(rows * columns),
    scales,
    ...(asymmetric
      ? { zeroPoints: new Uint8Array(scales.length).fill(2 ** (levelBits ?? bits) / 2 - 1) }
      : {}),
  };
  return quantizedWeight(weight, grid, null);
}

/** All matrices of the tiny model by name, as they are before training and rounded. */
export function tinyStart(format: NBitFormat) {
  const weights = new Map<string, Float32Array<ArrayBuffer>>();
  const linears = new Map<string, NBitLinear>();
  const make = fromScratch(tinyConfig, 1);
  for (const [name, shape] of weightShapes(tinyConfig)) {
    const weight = new Float32Array(shape.reduce((a, b) => a * b, 1));
    make(name, shape, weight);
    weights.set(name, weight);
    if (shape.length === 2) linears.set(name, rounded(weight, [shape[0]!, shape[1]!], format));
  }
  return { weights, linears };
}
