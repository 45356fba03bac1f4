import { f16BitsToF32, f32ToF16Bits } from '@edgedesk/tensor';
import { middleLevel } from '@edgedesk/models';

/** The values (level - zero) * scale, level = 0 .. 2^bits - 1. */
export interface Grid {
  /** On binary16's grid; 0 for a group of zeros. May be negative. */
  readonly scale: number;
  readonly zero: number;
}

/** The largest finite binary16. */
export const maxScale = 65504;

const toHalf = (x: number): number => f16BitsToF32(f32ToF16Bits(x));

/**
 * A symmetric grid for `weight[start..end)`: levels lie from -2^(bits-1) to 2^(bits-1) - 1 times the scale. Either the
 * weight of largest magnitude falls on the extra negative level, whatever its sign (the scale takes the other one, as in
 * llama.cpp's Q4_0), or both ends of the group fit into the positive levels; whichever has the smaller squared error.
 * On bell-shaped weights the first has 22 % less error at 4 bits and groups of 32, the choice another 1 % (7 % at 8 bits).
 */
export function symmetricGrid(weight: Float32Array, start: number, end: number, bits: 2 | 4 | 8): Grid {
  const zero = middleLevel(bits);
  let extreme = 0;
  for (let i = start; i < end; i++) if (Math.abs(weight[i]!) > Math.abs(extreme)) extreme = weight[i]!;
  const onNegative = toHalf(-extreme / zero);
  const withinPositive = toHalf(Math.abs(extreme) / (zero - 1));
  if (onNegative === 0 || Math.abs(withinPositive) > maxScale) return { scale: onNegative, zero };
  const first = squaredError(weight, start, end, onNegative, zero);
  const second = squaredError(weight, start, end, withinPositive, zero);
  return { scale: second < first ? withinPositive : onNegative, zero };
}

/** A grid from the smallest to the largest weight, zero always among its values. */
export function asymmetricGrid(weight: Float32Array, start: number, end: number, bits: 2 | 4 | 8): Grid {
  const highest = 2 ** bits - 1;
  let low = 0;
  let high = 0;
  for (let i = start; i < end; i++) {
    const w = weight[i]!;
    if (w < low) low = w;
    if (w > high) high = w;
  }
  const scale = toHalf((high - low) / highest);
  if (scale === 0) return { scale, zero: middleLevel(bits) };
  return { scale, zero: Math.min(highest, Math.max(0, Math.round(-low / scale))) };
}

function squaredError(weight: Float32Array, start: number, end: number, scale: number, zero: number): number {
  const inverse = 1 / scale;
  const highest = 2 * zero - 1;
  let error = 0;
  for (let i = start; i < end; i++) {
    const shifted = weight[i]! * inverse + zero + 0.5;
    const level = shifted <= 0 ? 0 : shifted >= highest ? highest : Math.floor(shifted);
    const off = weight[i]! - (level - zero) * scale;
    error += off * off;
  }
  return error;
}
