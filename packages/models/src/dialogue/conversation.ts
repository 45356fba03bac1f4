import { chatTexts, refusalReply, renderGroundedSystem } from './chat-texts.js';
import type { Language } from './language.js';
import type { ChatRow, DialogueMessage, GroundedRow, IntentRow, TextRow } from './row.js';

/** Rows that carry language to train on or to measure with; retrieval rows do not. */
export type SpokenRow = IntentRow | ChatRow | GroundedRow | TextRow;

export type Conversation =
  | { readonly kind: 'chat'; readonly messages: readonly DialogueMessage[] }
  | { readonly kind: 'text'; readonly text: string };

export interface ConversationOptions {
  /** Language of the system text and refusal. @default the row's */
  readonly lang?: Language;
}

/**
 * `row` in the one chat format: intent and grounded rows get their system text, and the assistant's last message is the
 * label, the answer or the refusal. Chat and plain text pass as they are.
 */
export function rowToConversation(row: SpokenRow, options: ConversationOptions = {}): Conversation {
  const lang = options.lang ?? row.lang;
  switch (row.kind) {
    case 'text':
      return { kind: 'text', text: row.text };
    case 'chat':
      return { kind: 'chat', messages: row.messages };
    case 'intent':
      return {
        kind: 'chat',
        messages: [...intentPrompt(row.text, lang), { role: 'assistant', content: row.intent }],
      };
    case 'grounded':
      return {
        kind: 'chat',
        messages: [
          ...groundedPrompt(row, lang),
          { role: 'assistant', content: row.answer ?? refusalReply(lang) },
        ],
      };
  }
}

/** The messages that ask for the intent of `text`. */
export function intentPrompt(text: string, lang: Language): DialogueMessage[] {
  return [
    { role: 'system', content: chatTexts[lang].intentSystem },
    { role: 'user', content: text },
  ];
}

/** The messages that ask `row.question` over its context and history. */
export function groundedPrompt(
  row: Pick<GroundedRow, 'question' | 'context' | 'history'>,
  lang: Language,
): DialogueMessage[] {
  const turns = row.history.filter(({ role }) => role !== 'system');
  return [
    { role: 'system', content: renderGroundedSystem(row.context, lang) },
    ...joinTurns([...turns, { role: 'user', content: row.question }]),
  ];
}

/** Messages one speaker sent in a row become one turn, a line each: the chat format alternates. */
function joinTurns(messages: readonly DialogueMessage[]): DialogueMessage[] {
  const turns: DialogueMessage[] = [];
  for (const message of messages) {
    const last = turns.at(-1);
    if (last?.role === message.role) {
      turns[turns.length - 1] = { role: last.role, content: `${last.content}\n${message.content}` };
    } else {
      turns.push(message);
    }
  }
  return turns;
}
