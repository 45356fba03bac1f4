import type { PreTokenizer } from './library.js';
import { SequencePreTokenizer } from './library.js';
import type { StageJson } from './tokenizer-json.js';

/** What a ByteLevel stage cuts at when it is asked to (GPT-2). */
const gpt2Pattern = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/**
 * The text-level part of a pre-tokenizer that ends in ByteLevel: cuts text into pieces that are then merged one by one.
 * Null when the pre-tokenizer has another form.
 */
export function pieceCutter(stage: StageJson | null): ((text: string) => string[]) | null {
  if (stage === null) return null;
  const stages = stage.type === 'Sequence' ? (stage['pretokenizers'] as unknown) : [stage];
  if (!Array.isArray(stages)) return null;
  const last = stages.at(-1) as StageJson | undefined;
  if (last?.type !== 'ByteLevel' || last['add_prefix_space'] === true) return null;
  const front = stages.slice(0, -1) as StageJson[];
  if (front.some(({ type }) => type === 'ByteLevel')) return null;
  const cut: PreTokenizer | null =
    front.length === 0 ? null : new SequencePreTokenizer({ type: 'Sequence', pretokenizers: front });
  if (last['use_regex'] === false) return cut === null ? (text) => [text] : (text) => cut(text);
  const words = (text: string): string[] => text.match(gpt2Pattern) ?? [];
  return cut === null ? words : (text) => cut(text).flatMap(words);
}
