import type { DialogueMessage } from '@edgedesk/models';
import type { Draws } from '../random/draws.js';

export interface NoiseOptions {
  /** Share of words (of Chinese characters: a third of it) that customers' messages lose. @default 0 */
  readonly words: number;
  /** Share of words of four letters and more with a typing error. @default 0 */
  readonly letters: number;
  /** Copies of each row; the first is as written. @default 1 */
  readonly variants: number;
}

export const noiseDefaults: NoiseOptions = { words: 0, letters: 0, variants: 1 };

/** Chance that a noisy message loses its capitals, and that it loses the punctuation at its end. */
const carelessness = 0.3;
const minTypoLength = 4;
const hanShare = 1 / 3;

/** Words with what stands between them; a Chinese character is a unit of its own. */
const unit = /\p{Script=Han}|[\p{L}\p{M}\p{N}'’]+|[^\p{L}\p{M}\p{N}]+/gu;
const word = /^[\p{L}\p{M}\p{N}'’]+$/u;
const han = /^\p{Script=Han}$/u;

/** The conversation with its customer's messages as hurried people would have typed them; tool results stay. */
export function withNoise(
  messages: readonly DialogueMessage[],
  options: NoiseOptions,
  draws: Draws,
): DialogueMessage[] {
  return messages.map((message) =>
    message.role === 'user' && !message.content.startsWith('<tool_response>')
      ? { ...message, content: noisyText(message.content, options, draws) }
      : message,
  );
}

/** `text` with words dropped and mistyped; never empty. Numbers stay: they carry the meaning. */
export function noisyText(text: string, options: NoiseOptions, draws: Draws): string {
  const units = text.match(unit) ?? [];
  const words = units.filter((part) => word.test(part)).length;
  const kept: string[] = [];
  for (const part of units) {
    if (!word.test(part) || /\p{N}/u.test(part)) kept.push(part);
    // Two words are the least that still says something.
    else if (words > 2 && draws.chance(han.test(part) ? options.words * hanShare : options.words)) continue;
    else if (part.length >= minTypoLength && draws.chance(options.letters)) kept.push(mistyped(part, draws));
    else kept.push(part);
  }
  let noisy = kept.join('').replace(/ {2,}/g, ' ').trim();
  if (draws.chance(carelessness)) noisy = noisy.toLowerCase();
  if (draws.chance(carelessness)) noisy = noisy.replace(/[.?!。？！\s]+$/u, '');
  return /[\p{L}\p{N}]/u.test(noisy) ? noisy : text;
}

/** One letter swapped with the next, lost, or struck twice; the first stays. */
function mistyped(text: string, draws: Draws): string {
  const at = 1 + draws.below(text.length - 2);
  const [before, letter, after] = [text.slice(0, at), text[at]!, text.slice(at + 1)];
  switch (draws.below(3)) {
    case 0:
      return before + after[0]! + letter + after.slice(1);
    case 1:
      return before + after;
    default:
      return before + letter + letter + after;
  }
}
