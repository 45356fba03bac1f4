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

/** A stream of numbers to look ahead in: what a call did not use is there for the next one. */
export class UniformTape {
  private readonly ahead: number[] = [];

  constructor(private readonly stream: () => number) {}

  /** The next `count` numbers, which stay. */
  peek(count: number): Float32Array {
    while (this.ahead.length < count) this.ahead.push(this.stream());
    return Float32Array.from(this.ahead.slice(0, count));
  }

  /** Goes on by `count` numbers that were peeked at. */
  drop(count: number): void {
    this.ahead.splice(0, count);
  }
}
