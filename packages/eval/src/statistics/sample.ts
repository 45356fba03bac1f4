import { seededRandom } from './random.js';

/**
 * `limit` of `count` indices in ascending order, one drawn from each of `limit` equal stretches: a file sorted by label
 * or by topic is covered from end to end, and the same seed draws the same rows.
 */
export function spreadSample(count: number, limit: number, seed: number): number[] {
  if (limit >= count) return Array.from({ length: count }, (_, i) => i);
  const random = seededRandom(seed);
  return Array.from({ length: limit }, (_, stretch) => {
    const from = Math.floor((stretch * count) / limit);
    const to = Math.floor(((stretch + 1) * count) / limit);
    return from + Math.floor(random() * (to - from));
  });
}
