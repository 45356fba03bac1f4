import { z } from 'zod';
import { rowLimits } from './limits.js';
import { dialogueRoles } from './row.js';

const text = z
  .string()
  .max(rowLimits.textCharacters)
  .refine((value) => value.trim() !== '', 'is empty');
const name = z.string().min(1, 'is empty').max(rowLimits.nameCharacters);
/** Absent and null mean the same in hand-made files. */
const optionalName = name.nullish().transform((value) => value ?? undefined);
const lang = optionalName;
const list = <T extends z.ZodType>(item: T, max: number) => z.array(item).max(max);
const optionalList = <T extends z.ZodType>(item: T, max: number) =>
  list(item, max)
    .nullish()
    .transform((value) => value ?? []);

const message = z.object({ role: z.enum(dialogueRoles), content: text });

const passage = z.object({
  id: optionalName,
  // Some corpora keep an untitled section's title as an empty string.
  title: z
    .string()
    .max(rowLimits.nameCharacters)
    .nullish()
    .transform((value) => value || undefined),
  text,
});

const history = optionalList(message, rowLimits.messages);

/** The JSON of each format before its language is settled; fields of no meaning here are dropped. */
export const rowSchemas = {
  intent: z.object({ text, intent: name, lang }),
  chat: z.object({
    messages: list(message, rowLimits.messages).min(2, 'needs a user and an assistant message'),
    intent: optionalName,
    lang,
    source: optionalName,
  }),
  grounded: z.object({
    question: text,
    context: list(passage, rowLimits.passages),
    answer: text.nullable(),
    answers: optionalList(text, rowLimits.listed),
    history,
    gold_ids: optionalList(name, rowLimits.listed),
    lang,
  }),
  document: z.object({ id: name, title: z.string().max(rowLimits.nameCharacters), text, lang }),
  query: z.object({
    id: name,
    text,
    relevant: list(name, rowLimits.listed),
    history,
    entities: optionalList(name, rowLimits.listed),
    scenario: text.nullish().transform((value) => value ?? undefined),
    lang,
  }),
  text: z.object({ text, lang, source: optionalName }),
};

export type RowFormat = keyof typeof rowSchemas;

/** The format whose telling fields `row` has, or null. Looks at names only, so that a bad value is reported as such. */
export function recogniseFormat(row: Readonly<Record<string, unknown>>): RowFormat | null {
  if ('messages' in row) return 'chat';
  if ('question' in row || 'context' in row) return 'grounded';
  if (!('text' in row)) return null;
  if ('relevant' in row) return 'query';
  if ('id' in row && 'title' in row) return 'document';
  return 'intent' in row ? 'intent' : 'text';
}
