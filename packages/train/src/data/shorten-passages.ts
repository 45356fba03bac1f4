import type { GroundedRow } from '@edgedesk/models';

/** A sentence with what ends it, in Chinese or English; line ends count. */
const sentence = /[^。！？!?.\n]+[。！？!?.\n]*\s*|[。！？!?.\n]+\s*/gu;

/**
 * The row with each passage cut to about `share` of its characters, at sentence borders: around the answer where it
 * stands there word for word, else from the start. Null when the answer is not literally in a passage: a cut might take
 * away what it rests on.
 */
export function shortenPassages(row: GroundedRow, share: number): GroundedRow | null {
  const { answer } = row;
  if (answer !== null && !row.context.some(({ text }) => text.includes(answer))) return null;
  return {
    ...row,
    context: row.context.map((passage) => ({
      ...passage,
      text: sentencesAround(passage.text, answer, Math.ceil(passage.text.length * share)),
    })),
  };
}

/** Whole sentences of `text`, in all at most `characters` where one sentence is not longer; those with `kept` stay. */
function sentencesAround(text: string, kept: string | null, characters: number): string {
  const sentences = text.match(sentence) ?? [text];
  const starts: number[] = [];
  sentences.reduce((at, part) => (starts.push(at), at + part.length), 0);
  const found = kept === null ? -1 : text.indexOf(kept);
  const indexAt = (position: number) => starts.findLastIndex((start) => start <= position);
  let first = found < 0 ? 0 : indexAt(found);
  let last = found < 0 ? 0 : indexAt(found + kept!.length - 1);
  let length = sentences.slice(first, last + 1).join('').length;
  for (let grown = true; grown;) {
    grown = false;
    const next = sentences[last + 1];
    if (next !== undefined && length + next.length <= characters) {
      length += next.length;
      last++;
      grown = true;
    }
    const before = first > 0 ? sentences[first - 1] : undefined;
    if (before !== undefined && length + before.length <= characters) {
      length += before.length;
      first--;
      grown = true;
    }
  }
  return sentences
    .slice(first, last + 1)
    .join('')
    .trim();
}
