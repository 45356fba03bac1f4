import { DataError } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import { parseRow, parseRowLine } from './parse-row.js';

const user = { role: 'user', content: 'Where is my parcel?' };
const assistant = { role: 'assistant', content: 'On its way.' };

function sentenceOf(json: unknown): string {
  try {
    parseRow(json, 'rows.jsonl:7');
  } catch (error) {
    if (error instanceof DataError) return error.sentence;
    throw error;
  }
  throw new Error('the row was accepted');
}

describe('parseRow', () => {
  it.each([
    ['intent', { text: 'hi', intent: 'greet', lang: 'en' }],
    ['chat', { messages: [user, assistant] }],
    ['grounded', { question: 'q?', context: [{ text: 'p' }], answer: null }],
    ['retrieval', { id: 'd1', title: 'T', text: 'words' }],
    ['retrieval', { id: 'q1', text: 'words', relevant: ['d1'] }],
    ['text', { text: 'words', source: 'wiki' }],
  ])('recognises a %s row by its fields', (kind, json) => {
    expect(parseRow(json, 'x:1').kind).toBe(kind);
  });

  it('settles language, absent lists and empty titles', () => {
    const row = parseRow(
      { question: '怎么退货？', context: [{ title: '', text: '七天内可退。' }], answer: '七天内', gold_ids: ['a'] },
      'x:1',
    );
    expect(row).toEqual({
      kind: 'grounded',
      question: '怎么退货？',
      context: [{ title: undefined, id: undefined, text: '七天内可退。' }],
      answer: '七天内',
      answers: [],
      history: [],
      goldIds: ['a'],
      lang: 'zh',
    });
  });

  it.each([
    [{ messages: [{ role: 'bot', content: 'x' }, assistant] }, 'messages[0].role'],
    [{ messages: [user, { role: 'assistant' }] }, 'messages[1].content'],
    [{ messages: [user, { role: 'assistant', content: ' ' }] }, 'messages[1].content` of the chat row: is empty'],
    [{ messages: [assistant, user] }, "where the user's turn is due"],
    [{ messages: [user, user, assistant] }, 'messages[1].role'],
    [{ messages: [user, assistant, user] }, "does not end with the assistant's message"],
    [{ question: 'q', context: [{ text: 'p' }] }, '`answer`'],
    [{ question: 'q', context: 'p', answer: 'a' }, '`context`'],
    [{ text: 3 }, '`text` of the text row'],
    [{ text: 'x', intent: 'a'.repeat(2000) }, '`intent`'],
    [{ words: 'x' }, 'none of the fields'],
    [[1, 2], 'not a JSON object'],
    [null, 'not a JSON object'],
  ])('says in one sentence what is wrong with %j', (json, part) => {
    const sentence = sentenceOf(json);
    expect(sentence).toContain('rows.jsonl:7: ');
    expect(sentence).toContain(part);
    expect(sentence).not.toContain('\n');
  });

  it('names the line that is not JSON', () => {
    expect(() => parseRowLine('{"text": "cut', 'rows.jsonl:3')).toThrow(DataError);
  });
});
