import { DataError } from '@edgedesk/tensor';
import type { z } from 'zod';
import { resolveLanguage } from './language.js';
import type { DialogueMessage, Row } from './row.js';
import { recogniseFormat, rowSchemas, type RowFormat } from './row-schemas.js';

type Parsed<F extends RowFormat> = z.output<(typeof rowSchemas)[F]>;

/**
 * A row of one of the five formats, recognised by its fields. `where` (`file:line`) goes into the DataError thrown when
 * the row fits none or a field is not as it must be. A missing or foreign `lang` is detected from the row's own words.
 */
export function parseRow(json: unknown, where: string): Row {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new DataError('the row is not a JSON object', { where, fix: 'write one object a line' });
  }
  const format = recogniseFormat(json as Record<string, unknown>);
  switch (format) {
    case null:
      throw new DataError('the row has none of the fields `messages`, `question`, `text`', {
        where,
        fix: 'use the intent, chat, grounded, retrieval or text format',
      });
    case 'intent': {
      const row = check(format, json, where);
      return { kind: 'intent', ...row, lang: resolveLanguage(row.lang, row.text) };
    }
    case 'chat': {
      const row = check(format, json, where);
      checkTurns(row.messages, where);
      return { kind: 'chat', ...row, lang: resolveLanguage(row.lang, spoken(row.messages)) };
    }
    case 'grounded': {
      const { gold_ids: goldIds, ...row } = check(format, json, where);
      return { kind: 'grounded', ...row, goldIds, lang: resolveLanguage(row.lang, row.question) };
    }
    case 'document': {
      const row = check(format, json, where);
      return { kind: 'retrieval', part: 'document', ...row, lang: resolveLanguage(row.lang, row.text) };
    }
    case 'query': {
      const row = check(format, json, where);
      return { kind: 'retrieval', part: 'query', ...row, lang: resolveLanguage(row.lang, row.text) };
    }
    case 'text': {
      const row = check(format, json, where);
      return { kind: 'text', ...row, lang: resolveLanguage(row.lang, row.text) };
    }
  }
}

/** `parseRow` of one line of a `.jsonl` file. */
export function parseRowLine(line: string, where: string): Row {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (cause) {
    throw new DataError('the line is not JSON', { where, fix: 'write one complete JSON object a line', cause });
  }
  return parseRow(json, where);
}

function check<F extends RowFormat>(format: F, json: unknown, where: string): Parsed<F> {
  const result = rowSchemas[format].safeParse(json);
  if (result.success) return result.data as Parsed<F>;
  const issue = result.error.issues[0]!;
  const field = issue.path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .slice(1);
  throw new DataError(`field \`${field}\` of the ${format} row: ${lowerFirst(issue.message)}`, {
    where,
    fix: 'mend the field or leave the row out',
  });
}

function checkTurns(messages: readonly DialogueMessage[], where: string): void {
  const first = messages[0]?.role === 'system' ? 1 : 0;
  const wrong = messages.findIndex(
    ({ role }, index) => index >= first && role !== ((index - first) % 2 === 0 ? 'user' : 'assistant'),
  );
  if (wrong >= 0) {
    const expected = (wrong - first) % 2 === 0 ? 'user' : 'assistant';
    throw new DataError(
      `field \`messages[${wrong}].role\` is "${messages[wrong]!.role}" where the ${expected}'s turn is due`,
      { where, fix: 'let user and assistant alternate, the user first' },
    );
  }
  if (messages.at(-1)!.role !== 'assistant') {
    throw new DataError("field `messages` does not end with the assistant's message", {
      where,
      fix: "add the assistant's reply or drop the last message",
    });
  }
}

/** What the speakers say; a system message may be in the language of its tools. */
function spoken(messages: readonly DialogueMessage[]): string {
  return messages.flatMap(({ role, content }) => (role === 'system' ? [] : [content])).join('\n');
}

function lowerFirst(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}
