import {
  formatOf,
  groupsPerRow,
  levelRange,
  type NBitFormat,
  type NBitLinear,
  toDense,
} from '@edgedesk/models';
import { f16ToF32, f32ToF16 } from '@edgedesk/tensor';

/**
 * The layer that trained weights are: the levels and scales that the training graph's `fakeQuantize` computed with, bit for
 * bit, hence its f32 arithmetic.
 *
 * weight: `[out, in]` row-major; start: format, scales and zero points that training began with; gain: `[out, groups]`,
 * null where scales were not trained.
 */
export function quantizedWeight(
  weight: Float32Array,
  start: NBitLinear,
  gain: Float32Array | null,
): NBitLinear {
  const { shape, groupSize, zeroPoints } = start;
  const [rows, columns] = shape;
  const groups = groupsPerRow(columns, groupSize);
  const scales = trainedScales(start, gain);
  const { lowest, highest, middle } = levelRange(formatOf(start) as NBitFormat);
  const levels = new Uint8Array(rows * columns);
  const { fround, floor } = Math;
  for (let at = 0; at < rows * groups; at++) {
    const divisor = scales[at] === 0 ? 1 : scales[at]!;
    const from = (at % groups) * groupSize;
    const row = Math.floor(at / groups) * columns;
    // Zero points are added before rounding down, and the plain middle after it.
    const shift = (zeroPoints?.[at] ?? 0) + 0.5;
    const offset = zeroPoints ? 0 : middle;
    for (let i = row + from; i < row + Math.min(columns, from + groupSize); i++) {
      const level = floor(fround(fround(weight[i]! / divisor) + shift)) + offset;
      levels[i] = level < lowest ? lowest : level > highest ? highest : level;
    }
  }
  return { ...start, levels, scales };
}

/** Scales as they are stored: s (1 + gain) at binary16's precision. */
export function trainedScales({ scales }: NBitLinear, gain: Float32Array | null): Float32Array<ArrayBuffer> {
  const exact = scales.map((s, i) => (gain === null ? s : s * Math.fround(1 + gain[i]!)));
  return f16ToF32(f32ToF16(exact));
}

/** Share of half a level that a latent weight may lie off its level at the start. */
const latentReach = 0.5;

/**
 * The weights that training moves, `[out, in]`: on their starting level, and as far towards the full-precision `weight` as
 * half of the level reaches, so that rounding gives just `start` and a weight near a boundary is the first to change its level.
 */
export function latentWeight(weight: Float32Array, start: NBitLinear): Float32Array<ArrayBuffer> {
  const { shape, groupSize, scales } = start;
  const groups = groupsPerRow(shape[1], groupSize);
  const latent = toDense(start);
  for (let i = 0; i < latent.length; i++) {
    const row = Math.floor(i / shape[1]);
    const scale = scales[row * groups + Math.floor((i % shape[1]) / groupSize)]!;
    const reach = (Math.abs(scale) / 2) * latentReach;
    const off = weight[i]! - latent[i]!;
    latent[i]! += off > reach ? reach : off < -reach ? -reach : off;
  }
  return latent;
}
