/** Same seed, same numbers: `mulberry32` (Tommy Ettinger, public domain). Numbers are k / 2^23 in [0, 1), exact in f32. */
export function uniformStream(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 9) / 2 ** 23;
  };
}
