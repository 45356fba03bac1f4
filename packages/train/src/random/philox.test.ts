import { describe, expect, it } from 'vitest';
import { fillNormal, permutation, philox, uniformAt } from './philox.js';

describe('philox', () => {
  // Known answers of the Random123 distribution (kat_vectors, philox2x32 with 10 rounds): counter, key -> output.
  it.each([
    [0, 0, 0, 0xff1dae59, 0x6cd10df2],
    [0xffffffff, 0xffffffff, 0xffffffff, 0x2c3f628b, 0xab4fd7ad],
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0xdd7ce038, 0xf62a4c12],
  ])('matches the published vector for counter %i %i', (index, stream, seed, first, second) => {
    const out = new Uint32Array(2);
    philox(seed, stream, index, out);
    expect([...out]).toEqual([first, second]);
  });

  it('is spread evenly', () => {
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 20_000; i++) counts[Math.floor(uniformAt(7, 3, i) * 10)]!++;
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(200);
  });

  it('gives normal numbers of the deviation asked for', () => {
    const x = new Float32Array(50_001);
    fillNormal(x, 0.02, 1, 2);
    const mean = x.reduce((a, b) => a + b, 0) / x.length;
    const deviation = Math.sqrt(x.reduce((a, b) => a + (b - mean) ** 2, 0) / x.length);
    expect(Math.abs(mean)).toBeLessThan(4e-4);
    expect(deviation / 0.02).toBeCloseTo(1, 1);
  });

  it('orders every index once, differently for each stream', () => {
    const a = permutation(1000, 5, 1);
    expect([...a].sort((x, y) => x - y)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(permutation(1000, 5, 1)).toEqual(a);
    expect(permutation(1000, 5, 2)).not.toEqual(a);
  });
});
