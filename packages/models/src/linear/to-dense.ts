import { f16ToF32, f32ToF16 } from '@edgedesk/tensor';
import type { Linear, NBitLinear } from './linear.js';
import { groupsPerRow, middleLevel } from './linear.js';

/**
 * The weights that a runtime computes with, `[out, in]` row-major f32 in a fresh array: the oracle that every packing
 * and every fused kernel is tested against.
 */
export function toDense(linear: Linear): Float32Array<ArrayBuffer> {
  switch (linear.kind) {
    case 'dense':
      return linear.storage === 'f16' ? f16ToF32(f32ToF16(linear.weight)) : linear.weight.slice();
    case 'nbit':
      return dequantize(linear);
  }
}

/** weight = (level - zeroPoint) * scale, group by group. */
function dequantize({ shape, bits, groupSize, levels, scales, zeroPoints }: NBitLinear): Float32Array<ArrayBuffer> {
  const [rows, columns] = shape;
  const groups = groupsPerRow(columns, groupSize);
  const weight = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) {
      const at = row * groups + group;
      const scale = scales[at]!;
      const zero = zeroPoints?.[at] ?? middleLevel(bits);
      const end = row * columns + Math.min(columns, (group + 1) * groupSize);
      for (let i = row * columns + group * groupSize; i < end; i++) weight[i] = (levels[i]! - zero) * scale;
    }
  }
  return weight;
}
