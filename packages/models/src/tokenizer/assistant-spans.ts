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
 * off to the special token that ends the turn. Found by rendering the conversation up to each message; where a template
 * writes earlier turns differently later on (dropping reasoning, say), by exchanging the content for a mark.
 *
 * @param specials the special tokens in `rendered`.
 */
export function assistantSpans(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  rendered: string,
  specials: readonly AddedTokenMatch[],
): Span[] {
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
  const isLast = i + 1 === messages.length;
  const through = isLast ? rendered : attempt(() => template.render(messages.slice(0, i + 1), false));
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
  const next = specials.find(({ start: at }) => at >= end);
  const closed = next !== undefined && rendered.slice(end, next.start).trim() === '';
  return { start, end: closed ? next.end : end };
};

function attempt(render: () => string): string | null {
  try {
    return render();
  } catch (error) {
    if (CheckpointError.isInstance(error)) return null;
    throw error;
  }
}
