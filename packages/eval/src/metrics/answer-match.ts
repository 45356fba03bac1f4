import { words } from './words.js';

const articles = new Set(['a', 'an', 'the']);

/** Words that carry the answer: lower case, no punctuation, no English articles; Chinese by character. */
function answerWords(text: string): string[] {
  return words(text).filter((word) => !articles.has(word));
}

/**
 * F1 of the bag of words an answer shares with the accepted answer it is nearest to. 1 when both are empty.
 * Source: Rajpurkar et al. 2016, "SQuAD", section 6.1; the Chinese of CMRC 2018 is likewise split into characters.
 */
export function tokenF1(answer: string, accepted: readonly string[]): number {
  const given = answerWords(answer);
  return Math.max(0, ...accepted.map((reference) => bagF1(given, answerWords(reference))));
}

/** 1 when the answer equals an accepted one up to case, punctuation, spaces and articles, else 0. */
export function exactMatch(answer: string, accepted: readonly string[]): 0 | 1 {
  const given = answerWords(answer).join(' ');
  return accepted.some((reference) => answerWords(reference).join(' ') === given) ? 1 : 0;
}

function bagF1(given: readonly string[], reference: readonly string[]): number {
  if (given.length === 0 || reference.length === 0) return given.length === reference.length ? 1 : 0;
  const left = new Map<string, number>();
  for (const word of reference) left.set(word, (left.get(word) ?? 0) + 1);
  let shared = 0;
  for (const word of given) {
    const count = left.get(word) ?? 0;
    if (count > 0) {
      left.set(word, count - 1);
      shared++;
    }
  }
  return (2 * shared) / (given.length + reference.length);
}
