import { memorySource } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import { ggufFixture } from './gguf.case.js';
import { readRows } from './gguf-weights.js';
import { shortestReal } from './metadata.js';
import { readContainer } from './read-container.js';
import { HeaderCursor } from './header-cursor.js';
import { readMetadata } from './read-metadata.js';
import { tensorTypes } from './tensor-types.js';

const source = memorySource('types.gguf', ggufFixture('types'));
const { tensors } = await readContainer(source);

describe('metadata', () => {
  it('has values of every type', async () => {
    const cursor = new HeaderCursor(source);
    await cursor.need(24);
    cursor.bytes(16);
    const values = await readMetadata(cursor, cursor.u64());
    expect(Object.fromEntries([...values].filter(([key]) => key.startsWith('value.')))).toEqual({
      'value.u8': 200,
      'value.i8': -100,
      'value.u16': 60000,
      'value.i16': -30000,
      'value.u32': 4000000000,
      'value.i32': -2000000000,
      'value.u64': 2n ** 63n + 1n,
      'value.i64': -(2 ** 40),
      'value.f32': Math.fround(1e-5),
      'value.f64': 0.1,
      'value.bool': true,
      'value.text': '退货 \ufeff😀',
    });
    expect(values.get('array.text')).toEqual(['a', '', '二']);
    expect(values.get('array.i32')).toEqual(Int32Array.of(1, -2, 3));
    expect(values.get('array.f32')).toEqual(Float32Array.of(0.5, -1.5));
    expect(values.get('array.bool')).toEqual(Uint8Array.of(1, 0));
  });

  it('gives the decimal that was meant by an f32', () => {
    for (const value of [1e-5, 1e-6, 10000, 1000000, 100000, 0.1, 8388607.5]) {
      expect(shortestReal(Math.fround(value))).toBe(value);
    }
  });
});

describe('tensors', () => {
  it('are all there', () => {
    expect([...tensorTypes.values()].every(({ name }) => tensors.has(name))).toBe(true);
    expect(tensors.get('Q4_K')).toMatchObject({ shape: [3, 512], dtype: 'f32', encoding: 'Q4_K', sizeBytes: 864 });
  });

  it.each([...tensorTypes.values()].map(({ name }) => name))('%s: bit for bit what gguf-py makes of it', async (name) => {
    const values = await readRows(source, tensors.get(name)!, null);
    const expected = await readRows(source, tensors.get(`${name}.f32`)!, null);
    expect(values.length).toBe(expected.length);
    expect(new Uint32Array(values.buffer)).toEqual(new Uint32Array(expected.buffer));
  });
});
