import { SplitPreTokenizer } from '../library.js';
import { splitPattern } from '../split-pattern.js';

/** Texts to learn from: in memory, or streamed. */
export type TextSource = Iterable<string> | AsyncIterable<string>;

/**
 * Rare pieces are dropped once this many distinct ones are counted, which bounds memory at about 1 GB; a corpus of
 * 100 MB stays far below.
 */
const maxDistinctPieces = 8_000_000;

/** Longer pieces (a base64 blob, a ruler of dashes) say nothing about language and are not learned from. */
const maxPieceLength = 256;

/** How often each piece occurs that `splitPattern` cuts the texts into, in order of first appearance. */
export async function countPieces(
  texts: TextSource,
  onText: (texts: number, characters: number) => void,
): Promise<Map<string, number>> {
  const splitter = new SplitPreTokenizer({
    type: 'Split',
    pattern: { Regex: splitPattern },
    behavior: 'Isolated',
    invert: false,
  });
  const counts = new Map<string, number>();
  let keepAbove = 0;
  let textCount = 0;
  let characters = 0;
  for await (const text of texts) {
    for (const piece of splitter(text)) {
      if (piece.length <= maxPieceLength) counts.set(piece, (counts.get(piece) ?? 0) + 1);
    }
    while (counts.size > maxDistinctPieces) {
      keepAbove++;
      for (const [piece, count] of counts) if (count <= keepAbove) counts.delete(piece);
    }
    characters += text.length;
    onText(++textCount, characters);
  }
  return counts;
}
