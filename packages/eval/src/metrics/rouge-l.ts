import { words } from './words.js';

/**
 * ROUGE-L F1 of one reply against one reference: R = LCS/|reference|, P = LCS/|reply|, F1 = 2PR/(P+R), over lower-case
 * words, by character in Chinese. 0 when either has no words.
 * Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 3.1, with beta = 1 and no stemming
 * as in the `rouge-score` package.
 */
export function rougeL(reply: string, reference: string): number {
  const X = words(reference);
  const Y = words(reply);
  if (X.length === 0 || Y.length === 0) return 0;
  return (2 * longestCommonSubsequence(X, Y)) / (X.length + Y.length);
}

/** Length of the longest common subsequence; O(|X| |Y|) time, O(|Y|) memory. */
export function longestCommonSubsequence(X: readonly string[], Y: readonly string[]): number {
  const ids = new Map<string, number>();
  const idOf = (word: string) => {
    const id = ids.get(word) ?? ids.size;
    ids.set(word, id);
    return id;
  };
  const x = Int32Array.from(X, idOf);
  const y = Int32Array.from(Y, idOf);
  let above = new Uint32Array(y.length + 1);
  let row = new Uint32Array(y.length + 1);
  for (const word of x) {
    for (let j = 0; j < y.length; j++) {
      row[j + 1] = word === y[j] ? above[j]! + 1 : Math.max(above[j + 1]!, row[j]!);
    }
    [above, row] = [row, above];
  }
  return above[y.length]!;
}
