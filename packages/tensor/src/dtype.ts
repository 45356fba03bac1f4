/** Element types that weights, graph values and session tensors have. */
export type DType = 'f32' | 'f16' | 'bf16' | 'i64' | 'i32' | 'i8' | 'u8' | 'bool';

/** Bytes of one element. */
export const dtypeSize: Readonly<Record<DType, number>> = {
  f32: 4,
  f16: 2,
  bf16: 2,
  i64: 8,
  i32: 4,
  i8: 1,
  u8: 1,
  bool: 1,
};

export type Shape = readonly number[];

/** Number of elements; 1 for a scalar's `[]`. */
export function elementCount(shape: Shape): number {
  return shape.reduce((product, d) => product * d, 1);
}

const word = new Uint32Array(1);
const real = new Float32Array(word.buffer);

/** IEEE 754 binary16 bits of `x`, rounded to nearest even; overflow becomes infinity. */
export function f32ToF16Bits(x: number): number {
  real[0] = x;
  const bits = word[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal half: adding 0.5 aligns the mantissa so that the hardware rounds to nearest even for us.
    word[0] = magnitude;
    real[0] = real[0]! + 0.5;
    return sign | (word[0]! - 0x3f000000);
  }
  const rounded = magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1);
  return sign | (rounded >>> 13);
}

/** Value of IEEE 754 binary16 bits. */
export function f16BitsToF32(half: number): number {
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

const halfTable = new Float32Array(65536);
let halfTableReady = false;

/** Widen binary16 `source` into a new array of the same length. */
export function f16ToF32(source: Uint16Array): Float32Array<ArrayBuffer> {
  if (!halfTableReady) {
    for (let i = 0; i < 65536; i++) halfTable[i] = f16BitsToF32(i);
    halfTableReady = true;
  }
  const out = new Float32Array(source.length);
  for (let i = 0; i < source.length; i++) out[i] = halfTable[source[i]!]!;
  return out;
}

/** Narrow to binary16 bits, rounding to nearest even. */
export function f32ToF16(source: Float32Array): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(source.length);
  for (let i = 0; i < source.length; i++) out[i] = f32ToF16Bits(source[i]!);
  return out;
}

/** Widen bfloat16 bits; exact. */
export function bf16ToF32(source: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(source.length);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16;
  return out;
}

/** Narrow to bfloat16 bits, rounding to nearest even; NaN stays NaN. */
export function f32ToBf16(source: Float32Array): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(source.length);
  for (let i = 0; i < source.length; i++) {
    real[0] = source[i]!;
    const bits = word[0]!;
    out[i] =
      (bits & 0x7fffffff) > 0x7f800000 ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }
  return out;
}
