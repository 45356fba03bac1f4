import { f16BitsToF32 } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import type { NBitLinear } from './linear.js';
import { formatOf, groupsPerRow, sameFormat } from './linear.js';
import { linearCases, randomNBit } from './linear.case.js';
import { packRows, unpackRows } from './pack.js';
import { bitsPerWeight, serialize, sizeBytes, storedParts } from './stored.js';
import { toDense } from './to-dense.js';

/** `width` bits from bit `at` of a stream whose bytes fill from their lowest bit. */
function bitsAt(bytes: Uint8Array, at: number, width: number): number {
  let value = 0;
  for (let i = 0; i < width; i++) value += ((bytes[(at + i) >> 3]! >> ((at + i) & 7)) & 1) * 2 ** i;
  return value;
}

/** Weight `[row, column]` straight from the stored bits, by MatMulNBits' documentation. */
function storedWeight(linear: NBitLinear, parts: Map<string, Uint8Array>, row: number, column: number): number {
  const { bits, groupSize, shape } = linear;
  const groups = groupsPerRow(shape[1], groupSize);
  const group = Math.floor(column / groupSize);
  const level = bitsAt(parts.get('levels')!, (row * groups * groupSize + column) * bits, bits);
  const scaleBytes = parts.get('scales')!;
  const scale = f16BitsToF32(bitsAt(scaleBytes, (row * groups + group) * 16, 16));
  const zeroPoints = parts.get('zeroPoints');
  const zeroStride = Math.ceil((groups * bits) / 8) * 8;
  const zero = zeroPoints ? bitsAt(zeroPoints, row * zeroStride + group * bits, bits) : 2 ** (bits - 1);
  return (level - zero) * scale;
}

describe.each(linearCases)('$name', ({ linear }) => {
  const parts = serialize(linear);

  it('stores exactly the parts and bytes it says', () => {
    const planned = storedParts(formatOf(linear), linear.shape);
    expect(parts.map((p) => p.part)).toEqual(planned.map((p) => p.part));
    const total = parts.reduce((sum, p) => sum + p.bytes.byteLength, 0);
    expect(sizeBytes(linear)).toBe(total);
    expect(bitsPerWeight(linear)).toBeCloseTo((total * 8) / (linear.shape[0] * linear.shape[1]), 12);
  });

  it('keeps every weight, bit by bit', () => {
    const dense = toDense(linear);
    if (linear.kind === 'dense') return;
    const bytes = new Map(parts.map((p) => [p.part as string, p.bytes]));
    const [rows, columns] = linear.shape;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        expect(dense[row * columns + column]).toBe(Math.fround(storedWeight(linear, bytes, row, column)));
      }
    }
  });
});

it('unpacks what it packed, at every width', () => {
  for (const bits of [2, 4, 8] as const) {
    for (const columns of [1, 2, 3, 5, 8]) {
      const values = Uint8Array.from({ length: 3 * columns }, (_, i) => (i * 7) % 2 ** bits);
      expect(unpackRows(packRows(values, 3, columns, bits), 3, columns, bits)).toEqual(values);
      expect(unpackRows(packRows(values, 3, columns, bits, 16), 3, columns, bits, 16)).toEqual(values);
    }
  }
});

it('costs what MatMulNBits with float16 scales costs', () => {
  const format = { kind: 'nbit', groupSize: 32, asymmetric: false } as const;
  expect(bitsPerWeight(randomNBit({ ...format, bits: 4 }, [8, 64]))).toBe(4.5);
  expect(bitsPerWeight(randomNBit({ ...format, bits: 8 }, [8, 64]))).toBe(8.5);
  expect(bitsPerWeight(randomNBit({ ...format, bits: 4, asymmetric: true }, [8, 64]))).toBe(4.625);
});

it('tells formats apart that cannot be stacked', () => {
  const format = { kind: 'nbit', bits: 4, groupSize: 32, asymmetric: false } as const;
  expect(sameFormat(format, { ...format })).toBe(true);
  expect(sameFormat(format, { ...format, bits: 8 })).toBe(false);
  expect(sameFormat(format, { ...format, groupSize: 64 })).toBe(false);
  expect(sameFormat(format, { ...format, asymmetric: true })).toBe(false);
  expect(sameFormat(format, { kind: 'dense', storage: 'f32' })).toBe(false);
});

