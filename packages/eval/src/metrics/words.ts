/**
 * A text longer than this is cut before it is compared: replies and references are far shorter, and the longest common
 * subsequence costs the product of the two lengths.
 */
export const maxComparedWords = 4096;

const word = /\p{Script=Han}|(?:(?!\p{Script=Han})[\p{L}\p{M}\p{N}])+/gu;

/** Lower-case words of `text` without punctuation; every Han character is a word of its own. */
export function words(text: string): string[] {
  const found = text.normalize('NFKC').toLowerCase().match(word) ?? [];
  return found.length > maxComparedWords ? found.slice(0, maxComparedWords) : found;
}
