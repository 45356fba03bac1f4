import { groundedPrompt, rowToConversation } from '@edgedesk/models';
import type { ChatRow, DialogueMessage, GroundedRow, SpokenRow, TextRow } from '@edgedesk/models';
import type { Engine } from '@edgedesk/runtime';

/** Tokens and the stretches of them that are scored. `[start, end)`, ascending, start >= 1. */
export interface ScoredTokens {
  readonly tokens: readonly number[];
  readonly spans: readonly (readonly [number, number])[];
}

/** A row ready to be measured: what is scored and, unless it is plain text, what the model is asked. */
export interface EncodedRow {
  readonly sequences: readonly ScoredTokens[];
  /** UTF-8 bytes of the scored text; only for plain text. */
  readonly bytes?: number;
  /** Token ids of the prompt for the last reply, and the reply to expect. */
  readonly prompt?: readonly number[];
  readonly reference?: string;
  /** Something was left out to fit the context. */
  readonly cut: boolean;
}

export interface EncodeOptions {
  /** Longest sequence in tokens. */
  readonly context: number;
  /** Tokens to leave free behind the prompt. */
  readonly replyTokens: number;
}

/** `row` as tokens of `engine`, cut to the context; null when it cannot be cut without losing what it asks. */
export function encodeRow(engine: Engine, row: SpokenRow, options: EncodeOptions): EncodedRow | null {
  if (row.kind === 'text') return encodeText(engine, row, options.context);
  let cut = false;
  for (const messages of shorterAndShorter(row)) {
    const encoded = encodeMessages(engine, messages, options);
    if (encoded !== null) return { ...encoded, cut };
    cut = true;
  }
  return null;
}

/** The row's conversation, then versions with less and less of what matters least. */
function* shorterAndShorter(row: Exclude<SpokenRow, TextRow>): Generator<readonly DialogueMessage[]> {
  const conversation = rowToConversation(row);
  if (conversation.kind === 'chat') yield conversation.messages;
  if (row.kind === 'chat') yield* withoutOldestTurns(row);
  if (row.kind === 'grounded') yield* withoutHistoryAndPassages(row);
}

function* withoutOldestTurns({ messages }: ChatRow): Generator<readonly DialogueMessage[]> {
  const first = messages[0]?.role === 'system' ? 1 : 0;
  for (let from = first + 2; from < messages.length; from += 2) {
    yield [...messages.slice(0, first), ...messages.slice(from)];
  }
}

/** First the oldest history goes, then the last passages; where gold passages are known, those stay. */
function* withoutHistoryAndPassages(row: GroundedRow): Generator<readonly DialogueMessage[]> {
  const reply = rowToConversation(row);
  const answer = reply.kind === 'chat' ? reply.messages.slice(-1) : [];
  for (let from = 1; from <= row.history.length; from++) {
    yield [...groundedPrompt({ ...row, history: row.history.slice(from) }, row.lang), ...answer];
  }
  if (row.goldIds.length === 0) return;
  const gold = new Set(row.goldIds);
  let context = row.context;
  for (let i = row.context.length - 1; i >= 0; i--) {
    const passage = row.context[i]!;
    if (passage.id !== undefined && gold.has(passage.id)) continue;
    context = context.filter((other) => other !== passage);
    yield [...groundedPrompt({ ...row, context, history: [] }, row.lang), ...answer];
  }
}

/**
 * Tokens of a conversation with a span for each assistant message: its content and the end of its turn, found as what
 * the template adds to the prompt before it. Null when too long, or when the template does not only add.
 */
function encodeMessages(
  engine: Engine,
  messages: readonly DialogueMessage[],
  { context, replyTokens }: EncodeOptions,
): Omit<EncodedRow, 'cut'> | null {
  const prompt = engine.encodeChat(messages.slice(0, -1), { addGenerationPrompt: true });
  if (prompt.length + replyTokens > context) return null;
  const tokens = engine.encodeChat(messages);
  if (tokens.length > context) return null;
  const spans: [number, number][] = [];
  messages.forEach(({ role }, index) => {
    if (role !== 'assistant' || index === 0) return;
    const last = index === messages.length - 1;
    const before = last ? prompt : engine.encodeChat(messages.slice(0, index), { addGenerationPrompt: true });
    const through = last ? tokens : engine.encodeChat(messages.slice(0, index + 1));
    if (!startsWith(tokens, before) || !startsWith(tokens, through)) return;
    const end = withoutTrailingSpace(engine, tokens, before.length, through.length);
    if (end > before.length) spans.push([before.length, end]);
  });
  if (spans.length === 0) return null;
  return { sequences: [{ tokens, spans }], prompt, reference: messages.at(-1)!.content };
}

/** The line break that templates write behind the end of a turn is nobody's prediction. */
function withoutTrailingSpace(engine: Engine, tokens: readonly number[], start: number, end: number): number {
  while (end > start && engine.decode([tokens[end - 1]!], { skipSpecial: false }).trim() === '') end--;
  return end;
}

/**
 * Plain text behind a document separator where the tokenizer has one, in windows of the context that do not overlap: each
 * begins with the last token of the one before, so that every token is scored once.
 */
function encodeText(engine: Engine, row: TextRow, context: number): EncodedRow | null {
  const separator = engine.encode('<|endoftext|>', { allowSpecial: true });
  const ids = [...(separator.length === 1 ? separator : []), ...engine.encode(row.text)];
  const sequences: ScoredTokens[] = [];
  for (let from = 0; from + 1 < ids.length; from += context - 1) {
    const tokens = ids.slice(from, from + context);
    sequences.push({ tokens, spans: [[1, tokens.length]] });
  }
  if (sequences.length === 0) return null;
  return { sequences, bytes: new TextEncoder().encode(row.text).length, cut: false };
}

function startsWith(tokens: readonly number[], prefix: readonly number[]): boolean {
  return prefix.length <= tokens.length && prefix.every((id, i) => id === tokens[i]);
}
