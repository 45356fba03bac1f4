import type { Language } from './language.js';
import type { Passage } from './row.js';

/** Fixed sentences of the chat format. Models are trained on these words: changing one means training anew. */
export interface ChatTexts {
  readonly intentSystem: string;
  readonly groundedSystem: string;
  /** What the customer reads behind `<no_answer/>`. */
  readonly refusal: string;
}

export const chatTexts: Readonly<Record<Language, ChatTexts>> = {
  en: {
    intentSystem: "Name the intent of the customer's message.",
    groundedSystem: 'Answer from the passages only.',
    refusal: 'I could not find that in our information. Would you like me to connect you with a colleague?',
  },
  zh: {
    intentSystem: '判断客户消息的意图。',
    groundedSystem: '只根据资料回答。',
    refusal: '抱歉，现有资料里没有相关内容，需要为您转接人工客服吗？',
  },
};

/**
 * System message of an answer that must rest on `passages`: the instruction, then behind a blank line each
 * `[n] TITLE` and its text on the next line, or `[n] TEXT` when it has no title. n counts from 1.
 */
export function renderGroundedSystem(passages: readonly Passage[], lang: Language): string {
  const blocks = passages.map(({ title, text }, index) =>
    title === undefined ? `[${index + 1}] ${text}` : `[${index + 1}] ${title}\n${text}`,
  );
  return [chatTexts[lang].groundedSystem, ...blocks].join('\n\n');
}

/** The assistant's reply when the passages do not answer. */
export function refusalReply(lang: Language): string {
  return `<no_answer/>${chatTexts[lang].refusal}`;
}
