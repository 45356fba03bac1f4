import { streamOf, uniformAt } from './philox.js';

/** Draws of one stream in a row: the same (seed, name, counter) gives the same ones. */
export class Draws {
  readonly #stream: number;
  #index: number;

  /** `start`: index of the first draw in the stream. */
  constructor(
    private readonly seed: number,
    stream: number,
    start = 0,
  ) {
    this.#stream = stream;
    this.#index = start;
  }

  /** Of a stream that belongs to a name and a counter alone. */
  static of(seed: number, name: string, counter: number): Draws {
    return new Draws(seed, streamOf(name, counter));
  }

  /** In [0, 1). */
  uniform(): number {
    return uniformAt(this.seed, this.#stream, this.#index++);
  }

  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** 0 ... count - 1. */
  below(count: number): number {
    return Math.floor(this.uniform() * count);
  }

  /** One of `items`, which are at least one. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** A copy in random order (Fisher and Yates). */
  shuffled<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [out[i], out[j]] = [out[j]!, out[i]!];
    }
    return out;
  }
}
