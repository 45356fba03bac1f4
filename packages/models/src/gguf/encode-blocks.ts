import { CheckpointError, f32ToF16, f32ToF16Bits, f16BitsToF32 } from '@edgedesk/tensor';
import type { Linear, LinearFormat, NBitLinear } from '../linear/linear.js';
import { groupsPerRow, middleLevel } from '../linear/linear.js';

/**
 * The inverse of `dequantize-blocks.ts`: linear layers as ggml's blocks of 32 weights, value for value. A group of 64
 * or 128 weights becomes several blocks with the same scale. Symbols are ggml's: d the scale, m the minimum, q a
 * weight's integer.
 */
const blockElements = 32;

/** Types that linear layers are written as; ids are ggml's. */
export const writtenTypes = {
  F32: { id: 0, blockElements: 1, blockBytes: 4 },
  F16: { id: 1, blockElements: 1, blockBytes: 2 },
  Q4_0: { id: 2, blockElements, blockBytes: 18 },
  Q4_1: { id: 3, blockElements, blockBytes: 20 },
  Q5_0: { id: 6, blockElements, blockBytes: 22 },
  Q8_0: { id: 8, blockElements, blockBytes: 34 },
} as const;
export type WrittenType = keyof typeof writtenTypes;

/** How 4-bit groups with zero points are stored: Q4_1 holds few of them exactly, Q5_0 all, with a bit more a weight. */
export type AsymmetricType = 'Q4_1' | 'Q5_0';

/**
 * The type that holds exactly the values of a layer of this format. CheckpointError when there is none; `where` names the
 * weight.
 */
export function writtenType(
  format: LinearFormat,
  columns: number,
  asymmetricType: AsymmetricType,
  where: string,
): WrittenType {
  if (format.kind === 'dense') return format.storage === 'f32' ? 'F32' : 'F16';
  const { bits, groupSize, asymmetric } = format;
  const fail = (message: string, fix: string): never => {
    throw new CheckpointError(message, { where, fix });
  };
  if (groupSize % blockElements !== 0) {
    fail(`groups of ${groupSize} weights do not fill GGUF's blocks of 32`, 'compress with groups of 32, 64 or 128');
  }
  if (columns % blockElements !== 0) {
    fail(`rows of ${columns} weights are no whole GGUF blocks of 32`, 'keep this model at 16 or 32 bits');
  }
  switch (bits) {
    case 2:
      return 'Q4_0';
    case 4:
      return asymmetric ? asymmetricType : 'Q4_0';
    case 8:
      return asymmetric
        ? fail('GGUF has no 8-bit blocks with a zero point', 'compress to 8 bits without zero points')
        : 'Q8_0';
  }
}

/** Rows `from` to `to` of a tensor as `type`; row r of the tensor is row `rowOf(r)` of the layer. */
export function encodeRows(
  linear: Linear,
  type: WrittenType,
  [from, to]: readonly [number, number],
  rowOf: (row: number) => number,
  where: string,
): Uint8Array {
  const columns = linear.shape[1];
  if (linear.kind === 'dense') {
    const rows = new Float32Array((to - from) * columns);
    for (let row = from; row < to; row++) {
      const source = rowOf(row) * columns;
      rows.set(linear.weight.subarray(source, source + columns), (row - from) * columns);
    }
    const stored = type === 'F32' ? rows : f32ToF16(rows);
    return new Uint8Array(stored.buffer);
  }
  const encode = blockEncoder(linear, type, where);
  const { blockBytes } = writtenTypes[type];
  const blocks = columns / blockElements;
  const bytes = new Uint8Array((to - from) * blocks * blockBytes);
  const groups = groupsPerRow(columns, linear.groupSize);
  for (let row = from, x = 0; row < to; row++) {
    const source = rowOf(row);
    for (let block = 0; block < blocks; block++, x += blockBytes) {
      const start = block * blockElements;
      encode(bytes, x, source * columns + start, source * groups + Math.floor(start / linear.groupSize));
    }
  }
  return bytes;
}

/** Writes at byte x of `out` the block that begins at weight y and belongs to group g. */
type EncodeBlock = (out: Uint8Array, x: number, y: number, g: number) => void;

function blockEncoder(linear: NBitLinear, type: WrittenType, where: string): EncodeBlock {
  const { levels, scales, zeroPoints } = linear;
  const middle = middleLevel(linear.bits);
  const zeroOf = (g: number): number => zeroPoints?.[g] ?? middle;
  const half = (out: Uint8Array, x: number, bits: number): void => {
    out[x] = bits & 255;
    out[x + 1] = bits >> 8;
  };
  switch (type) {
    case 'Q4_0':
      return (out, x, y, g) => {
        half(out, x, f32ToF16Bits(scales[g]!));
        const shift = 8 - zeroOf(g);
        for (let j = 0; j < 16; j++) {
          out[x + 2 + j] = (levels[y + j]! + shift) | ((levels[y + j + 16]! + shift) << 4);
        }
      };
    case 'Q4_1':
      return (out, x, y, g) => {
        const m = -zeroOf(g) * scales[g]!;
        const bits = f32ToF16Bits(m);
        if (f16BitsToF32(bits) !== m) {
          throw new CheckpointError('Q4_1 stores the minimum of a group in 16 bits, and this one needs more', {
            where,
            fix: 'export groups with zero points as Q5_0 (`--zero-points q5_0`), or compress without them',
          });
        }
        half(out, x, f32ToF16Bits(scales[g]!));
        half(out, x + 2, bits);
        for (let j = 0; j < 16; j++) out[x + 4 + j] = levels[y + j]! | (levels[y + j + 16]! << 4);
      };
    case 'Q5_0':
      return (out, x, y, g) => {
        half(out, x, f32ToF16Bits(scales[g]!));
        const shift = 16 - zeroOf(g);
        for (let j = 0; j < 16; j++) {
          const low = levels[y + j]! + shift;
          const high = levels[y + j + 16]! + shift;
          out[x + 2 + (j >> 3)]! |= (low >> 4) << (j & 7);
          out[x + 4 + (j >> 3)]! |= (high >> 4) << (j & 7);
          out[x + 6 + j] = (low & 15) | ((high & 15) << 4);
        }
      };
    case 'Q8_0':
      return (out, x, y, g) => {
        half(out, x, f32ToF16Bits(scales[g]!));
        const zero = zeroOf(g);
        for (let j = 0; j < blockElements; j++) out[x + 2 + j] = levels[y + j]! - zero;
      };
    default:
      throw new Error(`${type} has no blocks`);
  }
}
