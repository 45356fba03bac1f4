import { describe, expect, test } from 'vitest';
import { bf16ToF32, f16BitsToF32, f16ToF32, f32ToBf16, f32ToF16, f32ToF16Bits } from './dtype.js';

describe('binary16', () => {
  test('every half survives the round trip through f32', () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const back = f32ToF16(f16ToF32(all));
    for (let i = 0; i < 65536; i++) {
      const nan = (i & 0x7c00) === 0x7c00 && (i & 0x3ff) !== 0;
      if (nan) expect(Number.isNaN(f16BitsToF32(back[i]!))).toBe(true);
      else expect(back[i]).toBe(i);
    }
  });

  // Bits by numpy: np.float16(x).view(np.uint16).
  test.each([
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [65519.99, 0x7bff],
    [65520, 0x7c00],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000],
    [3 * 2 ** -26, 0x0001],
    [6.1e-5, 0x03ff],
    [0.1, 0x2e66],
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
    [Infinity, 0x7c00],
    [-Infinity, 0xfc00],
  ])('%d has the bits %i', (x, bits) => {
    expect(f32ToF16Bits(x)).toBe(bits);
  });
});

describe('bfloat16', () => {
  test('rounds to nearest even and keeps NaN', () => {
    const x = Float32Array.of(1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -3.14159, NaN, 3.4e38);
    const bits = f32ToBf16(x);
    expect([...bits.slice(0, 4)]).toEqual([0x3f80, 0x3f80, 0x3f82, 0xc049]);
    const back = bf16ToF32(bits);
    expect(Number.isNaN(back[4]!)).toBe(true);
    expect(back[5]).toBe(Infinity);
  });
});
