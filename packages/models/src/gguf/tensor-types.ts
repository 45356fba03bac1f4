import { bf16ToF32, type DType } from '@edgedesk/tensor';
import { dequantizeQ40, dequantizeQ41, dequantizeQ50, dequantizeQ51, dequantizeQ80 } from './dequantize-blocks.js';
import { dequantizeQ4K, dequantizeQ5K, dequantizeQ6K } from './dequantize-super-blocks.js';
import { halfTable } from './half-table.js';

/** Widens `blocks`, whole blocks from the first on, into `out` from its first element on. */
export type Dequantize = (blocks: Uint8Array<ArrayBuffer>, out: Float32Array) => void;

/** How ggml stores the elements of a tensor: in blocks along the rows. */
export interface TensorType {
  readonly name: string;
  readonly blockElements: number;
  readonly blockBytes: number;
  /** What the elements are once read: quantized ones have f32 values. */
  readonly dtype: DType;
  readonly dequantize: Dequantize;
}

const widenF32: Dequantize = (blocks, out) => out.set(new Float32Array(blocks.buffer, 0, out.length));
const widenF16: Dequantize = (blocks, out) => {
  const half = halfTable();
  const bits = new Uint16Array(blocks.buffer, 0, out.length);
  for (let i = 0; i < out.length; i++) out[i] = half[bits[i]!]!;
};
const widenBf16: Dequantize = (blocks, out) => out.set(bf16ToF32(new Uint16Array(blocks.buffer, 0, out.length)));

const type = (
  name: string,
  blockElements: number,
  blockBytes: number,
  dequantize: Dequantize,
  dtype: DType = 'f32',
): TensorType => ({ name, blockElements, blockBytes, dtype, dequantize });

/** Types that can be read, by their id in the file. */
export const tensorTypes: ReadonlyMap<number, TensorType> = new Map([
  [0, type('F32', 1, 4, widenF32)],
  [1, type('F16', 1, 2, widenF16, 'f16')],
  [2, type('Q4_0', 32, 18, dequantizeQ40)],
  [3, type('Q4_1', 32, 20, dequantizeQ41)],
  [6, type('Q5_0', 32, 22, dequantizeQ50)],
  [7, type('Q5_1', 32, 24, dequantizeQ51)],
  [8, type('Q8_0', 32, 34, dequantizeQ80)],
  [12, type('Q4_K', 256, 144, dequantizeQ4K)],
  [13, type('Q5_K', 256, 176, dequantizeQ5K)],
  [14, type('Q6_K', 256, 210, dequantizeQ6K)],
  [30, type('BF16', 1, 2, widenBf16, 'bf16')],
]);

/** Names for messages of types that are not read. */
const otherTypes: ReadonlyMap<number, string> = new Map([
  [9, 'Q8_1'],
  [10, 'Q2_K'],
  [11, 'Q3_K'],
  [15, 'Q8_K'],
  [16, 'IQ2_XXS'],
  [17, 'IQ2_XS'],
  [18, 'IQ3_XXS'],
  [19, 'IQ1_S'],
  [20, 'IQ4_NL'],
  [21, 'IQ3_S'],
  [22, 'IQ2_S'],
  [23, 'IQ4_XS'],
  [24, 'I8'],
  [25, 'I16'],
  [26, 'I32'],
  [27, 'I64'],
  [28, 'F64'],
  [29, 'IQ1_M'],
  [34, 'TQ1_0'],
  [35, 'TQ2_0'],
  [39, 'MXFP4'],
]);

export function typeName(id: number): string {
  return tensorTypes.get(id)?.name ?? otherTypes.get(id) ?? `number ${id}`;
}
