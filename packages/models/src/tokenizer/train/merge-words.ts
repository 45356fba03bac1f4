import type { PairEntry } from './pair-heap.js';
import { PairHeap } from './pair-heap.js';

/** Distinct words as symbol runs: word `w` is `symbols[start[w] .. start[w] + length[w]]`, shrinking as pairs merge. */
export interface WordTable {
  readonly symbols: Int32Array;
  readonly start: Int32Array;
  readonly length: Int32Array;
  /** How often each word occurs. */
  readonly count: Float64Array;
}

export interface MergeOptions {
  /** Text of every symbol by id: the special tokens and the alphabet. Each new symbol is appended. */
  readonly tokens: string[];
  /** The first ids, which no merge may spell. */
  readonly specialCount: number;
  /** Stop when there are this many symbols. */
  readonly vocabSize: number;
  readonly minFrequency: number;
  onMerge(done: number, total: number): void;
}

/** Symbols are ids below 2^26, so that a pair fits a double exactly. */
const pairBase = 2 ** 26;

/**
 * Byte-pair encoding (Sennrich et al., 2016, algorithm 1) with counts updated in place: each merge visits only the
 * words that hold its pair. Ties are broken, and symbols spelled in two ways shared, as the `tokenizers` library does,
 * so the merges are the same.
 *
 * @returns the merged pairs of symbols in order. `words` is used up.
 */
export function learnMerges(words: WordTable, options: MergeOptions): [left: number, right: number][] {
  const { tokens, specialCount, vocabSize, minFrequency } = options;
  const total = vocabSize - tokens.length;
  const minCount = Math.max(1, minFrequency);
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const heap = new PairHeap();
  const pairs = new Map<number, PairEntry>();
  const admit = (found: ReadonlyMap<number, PairEntry>): void => {
    for (const [key, pair] of found) {
      if (pair.count < minCount) continue;
      pairs.set(key, pair);
      heap.push(pair);
    }
  };
  admit(countPairs(words, null));
  const merges: [number, number][] = [];
  while (tokens.length < vocabSize) {
    const pair = heap.pop(minCount);
    if (pair === null) break;
    const token = tokens[pair.left]! + tokens[pair.right]!;
    const known = idOf.get(token);
    pairs.delete(pair.left * pairBase + pair.right);
    if (known !== undefined && known < specialCount) continue;
    const merged = known ?? tokens.length;
    if (known === undefined) {
      idOf.set(token, merged);
      tokens.push(token);
    }
    merges.push([pair.left, pair.right]);
    const fresh = new Map<number, PairEntry>();
    const change = (word: number, left: number, right: number, sign: 1 | -1): void => {
      const key = left * pairBase + right;
      const isFresh = left === merged || right === merged;
      let entry = (isFresh ? fresh : pairs).get(key);
      if (entry === undefined) {
        // A pair that fell below minCount is forgotten: pairs of old symbols never gain.
        if (!isFresh) return;
        fresh.set(key, (entry = { left, right, count: 0, words: [] }));
      }
      entry.count += sign * words.count[word]!;
      if (sign > 0 && entry.words.at(-1) !== word) entry.words.push(word);
    };
    for (const word of new Set(pair.words)) mergeInWord(words, word, pair, merged, change);
    pair.words.length = 0;
    pair.count = 0;
    if (known === undefined) admit(fresh);
    else {
      // The symbol existed, so its pairs do gain, also the forgotten ones: count them anew. This is rare.
      for (const [key, entry] of pairs) {
        if (entry.left !== merged && entry.right !== merged) continue;
        entry.count = 0;
        pairs.delete(key);
      }
      admit(countPairs(words, merged));
    }
    options.onMerge(total - (vocabSize - tokens.length), total);
  }
  return merges;
}

/** All adjacent pairs, or those that hold symbol `only`. */
function countPairs(words: WordTable, only: number | null): Map<number, PairEntry> {
  const pairs = new Map<number, PairEntry>();
  for (let word = 0; word < words.length.length; word++) {
    const start = words.start[word]!;
    const end = start + words.length[word]!;
    for (let i = start; i + 1 < end; i++) {
      const left = words.symbols[i]!;
      const right = words.symbols[i + 1]!;
      if (only !== null && left !== only && right !== only) continue;
      const key = left * pairBase + right;
      let entry = pairs.get(key);
      if (entry === undefined) pairs.set(key, (entry = { left, right, count: 0, words: [] }));
      entry.count += words.count[word]!;
      if (entry.words.at(-1) !== word) entry.words.push(word);
    }
  }
  return pairs;
}

/** Merges left to right; `change` hears of every neighbouring pair that goes or comes. */
function mergeInWord(
  words: WordTable,
  word: number,
  { left, right }: PairEntry,
  merged: number,
  change: (word: number, left: number, right: number, sign: 1 | -1) => void,
): void {
  const { symbols } = words;
  const start = words.start[word]!;
  const end = start + words.length[word]!;
  let to = start;
  for (let from = start; from < end; from++) {
    const symbol = symbols[from]!;
    if (symbol !== left || from + 1 >= end || symbols[from + 1] !== right) {
      symbols[to++] = symbol;
      continue;
    }
    if (to > start) {
      const previous = symbols[to - 1]!;
      change(word, previous, left, -1);
      change(word, previous, merged, 1);
    }
    if (from + 2 < end) {
      const next = symbols[from + 2]!;
      change(word, right, next, -1);
      change(word, merged, next, 1);
    }
    symbols[to++] = merged;
    from++;
  }
  words.length[word] = to - start;
}
