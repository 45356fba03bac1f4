import type { Linear, NBitFormat, NBitLinear } from './linear.js';
import { groupsPerRow } from './linear.js';
import { f16BitsToF32, f32ToF16Bits } from '@edgedesk/tensor';

/** A repeatable sequence of numbers in [0, 1): mulberry32. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A quantized layer of random levels, scales (either sign) and zero points; weights up to about 0.5. */
export function randomNBit(format: NBitFormat, shape: readonly [number, number], seed = 1): NBitLinear {
  const random = randomNumbers(seed);
  const { bits, groupSize, asymmetric } = format;
  const [rows, columns] = shape;
  const groups = rows * groupsPerRow(columns, groupSize);
  const scale = (): number => {
    const sign = random() < 0.5 ? -1 : 1;
    return f16BitsToF32(f32ToF16Bits((sign * (0.1 + 0.4 * random())) / 2 ** (bits - 1)));
  };
  return {
    kind: 'nbit',
    shape,
    bits,
    groupSize,
    levels: Uint8Array.from({ length: rows * columns }, () => Math.floor(random() * 2 ** bits)),
    scales: Float32Array.from({ length: groups }, scale),
    ...(asymmetric
      ? { zeroPoints: Uint8Array.from({ length: groups }, () => Math.floor(random() * 2 ** bits)) }
      : {}),
  };
}

/** Every representation, with whole and broken groups, and odd and even numbers of groups. */
export const linearCases: readonly { readonly name: string; readonly linear: Linear }[] = [
  ...(['f32', 'f16'] as const).map((storage) => ({
    name: `dense ${storage}`,
    linear: {
      kind: 'dense' as const,
      shape: [7, 10] as const,
      weight: Float32Array.from({ length: 70 }, ((random) => () => random() - 0.5)(randomNumbers(3))),
      storage,
    },
  })),
  ...([2, 4, 8] as const).flatMap((bits) =>
    [false, true].flatMap((asymmetric) =>
      (
        [
          [96, 32], // 3 groups: zero points of a row end inside a byte
          [64, 16],
          [80, 32], // the last group is half full
          [256, 128],
        ] as const
      ).map(([columns, groupSize]) => ({
        name: `${bits} bits ${asymmetric ? 'asymmetric' : 'symmetric'}, ${columns} columns in groups of ${groupSize}`,
        linear: randomNBit({ kind: 'nbit', bits, groupSize, asymmetric }, [6, columns], columns + bits),
      })),
    ),
  ),
];
