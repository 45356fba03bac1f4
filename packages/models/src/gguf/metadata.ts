import { CheckpointError } from '@edgedesk/tensor';
import type { GgufValue } from './read-metadata.js';

/** Metadata by key. Each method gives undefined for an absent key and a CheckpointError for a value of another kind. */
export class Metadata {
  constructor(
    private readonly values: ReadonlyMap<string, GgufValue>,
    /** For messages: the file. */
    readonly where: string,
  ) {}

  keys(): IterableIterator<string> {
    return this.values.keys();
  }

  has(key: string): boolean {
    return this.values.has(key);
  }

  text(key: string): string | undefined {
    const value = this.values.get(key);
    return value === undefined || typeof value === 'string' ? value : this.fail(key, 'a text');
  }

  flag(key: string): boolean | undefined {
    const value = this.values.get(key);
    return value === undefined || typeof value === 'boolean' ? value : this.fail(key, 'true or false');
  }

  real(key: string): number | undefined {
    const value = this.values.get(key);
    if (value === undefined) return undefined;
    return typeof value === 'number' && Number.isFinite(value) ? value : this.fail(key, 'a number');
  }

  /** An integer, 0 or more. */
  count(key: string): number | undefined {
    const value = this.values.get(key);
    if (value === undefined) return undefined;
    return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : this.fail(key, 'a count');
  }

  /** A count, which some writers repeat for every layer; CheckpointError when layers differ. */
  countOfEveryLayer(key: string): number | undefined {
    const value = this.values.get(key);
    if (typeof value !== 'object') return this.count(key);
    const [first, ...others] = value;
    if (!Number.isSafeInteger(first) || (first as number) < 0) return this.fail(key, 'a list of counts');
    if (others.every((other) => other === first)) return first as number;
    throw new CheckpointError(`\`${key}\` differs between layers, which is not supported`, {
      where: this.where,
      fix: 'use a model whose layers are alike',
    });
  }

  texts(key: string): readonly string[] | undefined {
    const value = this.values.get(key);
    if (value === undefined) return undefined;
    const isTexts = Array.isArray(value) && value.every((text) => typeof text === 'string');
    return isTexts ? (value as readonly string[]) : this.fail(key, 'a list of texts');
  }

  integers(key: string): Int32Array | Uint32Array | undefined {
    const value = this.values.get(key);
    if (value === undefined || value instanceof Int32Array || value instanceof Uint32Array) return value;
    return this.fail(key, 'a list of 32-bit integers');
  }

  reals(key: string): Float32Array | undefined {
    const value = this.values.get(key);
    if (value === undefined || value instanceof Float32Array) return value;
    return this.fail(key, 'a list of 32-bit reals');
  }

  private fail(key: string, expected: string): never {
    throw new CheckpointError(`the metadata value \`${key}\` is not ${expected}`, {
      where: this.where,
      fix: 'download the file again or use one from another converter',
    });
  }
}

/**
 * The shortest decimal that means the same f32: files store 1e-5 as 9.999999747378752e-6, and the model's own
 * configuration says 1e-5.
 */
export function shortestReal(stored: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(stored.toPrecision(digits));
    if (Math.fround(short) === Math.fround(stored)) return short;
  }
  return stored;
}
