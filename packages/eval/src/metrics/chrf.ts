/** A text longer than this is cut before it is compared, so that a hostile row cannot fill memory with n-grams. */
const maxComparedCharacters = 16_384;

export interface ChrfOptions {
  /** Longest character n-gram. @default 6 */
  readonly order?: number;
  /** Recall weighs beta times as much as precision. @default 2 */
  readonly beta?: number;
}

/**
 * chrF of one reply against one reference, in 0..1: the F-beta score of character n-gram precision and recall averaged
 * over n = 1..order, white space removed. Orders for which either text is too short are left out.
 * Source: Popovic 2015, "chrF: character n-gram F-score for automatic MT evaluation"; averages as in sacrebleu
 * (`nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no`), whose values are 100 times these.
 */
export function chrF(reply: string, reference: string, options: ChrfOptions = {}): number {
  const { order = 6, beta = 2 } = options;
  const hypothesis = characters(reply);
  const truth = characters(reference);
  let precision = 0;
  let recall = 0;
  let orders = 0;
  for (let n = 1; n <= order; n++) {
    const replyCount = hypothesis.length - n + 1;
    const referenceCount = truth.length - n + 1;
    if (replyCount <= 0 || referenceCount <= 0) break;
    const matches = commonNgrams(hypothesis, truth, n);
    precision += matches / replyCount;
    recall += matches / referenceCount;
    orders++;
  }
  if (orders === 0 || precision === 0) return 0;
  precision /= orders;
  recall /= orders;
  const weight = beta * beta;
  return ((1 + weight) * precision * recall) / (weight * precision + recall);
}

function characters(text: string): string[] {
  return Array.from(text.slice(0, maxComparedCharacters).replace(/\s+/gu, ''));
}

/** Size of the multiset intersection of the n-grams of two texts. */
function commonNgrams(hypothesis: readonly string[], truth: readonly string[], n: number): number {
  const counts = new Map<string, number>();
  for (let i = 0; i + n <= truth.length; i++) {
    const ngram = truth.slice(i, i + n).join('');
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
  }
  let matches = 0;
  for (let i = 0; i + n <= hypothesis.length; i++) {
    const ngram = hypothesis.slice(i, i + n).join('');
    const left = counts.get(ngram) ?? 0;
    if (left > 0) {
      counts.set(ngram, left - 1);
      matches++;
    }
  }
  return matches;
}
