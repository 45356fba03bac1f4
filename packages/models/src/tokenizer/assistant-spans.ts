import { CheckpointError } from '@edgedesk/tensor';
import type { AddedTokenMatch } from './added-tokens.js';
import type { ChatTemplate } from './chat-template.js';
import { unusedCharacter } from './defuse.js';
import type { ChatMessage } from './tokenizer.js';

/** Characters `[start, end)` of a rendered conversation. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Where each assistant message stands in `rendered`, the whole conversation: from where the generation prompt leaves
 * off to the special token that ends the turn. A template that writes every content as it is, between words of its own,
 * shows this at once; others are asked for the conversation up to each message; where one writes earlier turns
 * differently later on (dropping reasoning, say), the content is exchanged for a mark.
 *
 * @param specials the special tokens in `rendered`.
 */
export function assistantSpans(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  rendered: string,
  specials: readonly AddedTokenMatch[],
): Span[] {
  const verbatim = verbatimSpans(template, messages, rendered, specials);
  if (verbatim !== null) return verbatim;
  const spans: Span[] = [];
  messages.forEach((message, i) => {
    if (message.role !== 'assistant') return;
    const span =
      byPrefix(template, messages, i, rendered, specials) ?? byMark(template, messages, i, rendered, specials);
    if (span === null) {
      throw new CheckpointError(`the chat template does not show where message ${i + 1} begins and ends`, {
        where: template.where,
        fix: 'use a template that writes every assistant message as given',
      });
    }
    spans.push(span);
  });
  return spans;
}

/** Two renderings for the whole conversation, where the other ways need two for each reply. */
function verbatimSpans(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  rendered: string,
  specials: readonly AddedTokenMatch[],
): Span[] | null {
  const { opening } = template;
  if (opening === '') return null;
  const mark = unusedCharacter([rendered]);
  const marked = attempt(() =>
    template.render(
      messages.map(({ role }) => ({ role, content: mark })),
      false,
    ),
  );
  const words = marked?.split(mark) ?? [];
  if (words.length !== messages.length + 1) return null;
  const spans: Span[] = [];
  let at = 0;
  for (const [i, { role, content }] of messages.entries()) {
    if (!rendered.startsWith(words[i]!, at)) return null;
    at += words[i]!.length;
    if (!rendered.startsWith(content, at)) return null;
    if (role === 'assistant') {
      if (!words[i]!.endsWith(opening)) return null;
      spans.push({ start: at, end: closingEnd(rendered, at + content.length, specials) });
    }
    at += content.length;
  }
  // With a generation prompt more may follow.
  return rendered.startsWith(words.at(-1)!, at) ? spans : null;
}

/** Where the special token ends that closes a turn whose content ends at `end`; `end` when none does. */
function closingEnd(rendered: string, end: number, specials: readonly AddedTokenMatch[]): number {
  const next = specials.find(({ start }) => start >= end);
  return next !== undefined && rendered.slice(end, next.start).trim() === '' ? next.end : end;
}

type FindSpan = (
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  i: number,
  rendered: string,
  specials: readonly AddedTokenMatch[],
) => Span | null;

const byPrefix: FindSpan = (template, messages, i, rendered, specials) => {
  const prompt = attempt(() => template.render(messages.slice(0, i), true));
  if (prompt === null || !rendered.startsWith(prompt)) return null;
  const through = attempt(() => template.render(messages.slice(0, i + 1), false));
  if (through === null || through.length < prompt.length || !rendered.startsWith(through)) return null;
  const start = prompt.length;
  // White space after the token that ends the turn belongs to the template.
  const lastInk = start + through.slice(start).trimEnd().length;
  const closed = specials.some(({ start: at, end }) => at >= start && at < lastInk && end >= lastInk);
  return { start, end: closed ? lastInk : through.length };
};

const byMark: FindSpan = (template, messages, i, rendered, specials) => {
  const mark = unusedCharacter([rendered]);
  const exchanged = messages.map(({ role, content }, at) => ({ role, content: at === i ? mark : content }));
  const marked = attempt(() => template.render(exchanged, false));
  const start = marked?.indexOf(mark) ?? -1;
  if (marked === null || start < 0) return null;
  const after = marked.slice(start + mark.length);
  const end = rendered.length - after.length;
  if (end < start || !rendered.startsWith(marked.slice(0, start)) || !rendered.endsWith(after)) return null;
  return { start, end: closingEnd(rendered, end, specials) };
};

function attempt(render: () => string): string | null {
  try {
    return render();
  } catch (error) {
    if (CheckpointError.isInstance(error)) return null;
    throw error;
  }
}
