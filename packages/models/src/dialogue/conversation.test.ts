import { describe, expect, it } from 'vitest';
import { rowToConversation } from './conversation.js';
import { detectLanguage } from './language.js';
import { parseMarks } from './marks.js';
import { parseRow } from './parse-row.js';
import type { SpokenRow } from './conversation.js';

const conversation = (json: unknown) => rowToConversation(parseRow(json, 'x:1') as SpokenRow);

describe('rowToConversation', () => {
  it('asks for the intent in the language of the customer', () => {
    expect(conversation({ text: 'card lost', intent: 'oos', lang: 'en' })).toEqual({
      kind: 'chat',
      messages: [
        { role: 'system', content: "Name the intent of the customer's message." },
        { role: 'user', content: 'card lost' },
        { role: 'assistant', content: 'oos' },
      ],
    });
    expect(conversation({ text: '卡丢了', intent: 'lost_card' })).toMatchObject({
      messages: [{ content: '判断客户消息的意图。' }, {}, {}],
    });
  });

  it('numbers the passages and joins turns of one speaker', () => {
    expect(
      conversation({
        question: 'Is it quiet?',
        context: [{ title: 'INN', text: 'Calm.' }, { text: 'Near the road.' }],
        history: [
          { role: 'user', content: 'I need a room.' },
          { role: 'assistant', content: 'The Inn?' },
          { role: 'user', content: 'Yes.' },
        ],
        answer: 'Yes, calm.',
        lang: 'en',
      }),
    ).toEqual({
      kind: 'chat',
      messages: [
        {
          role: 'system',
          content: 'Answer from the passages only.\n\n[1] INN\nCalm.\n\n[2] Near the road.',
        },
        { role: 'user', content: 'I need a room.' },
        { role: 'assistant', content: 'The Inn?' },
        { role: 'user', content: 'Yes.\nIs it quiet?' },
        { role: 'assistant', content: 'Yes, calm.' },
      ],
    });
  });

  it('answers an unanswerable question with the mark and an offer', () => {
    const row = conversation({ question: '有停车场吗？', context: [], answer: null, lang: 'zh' });
    const reply = row.kind === 'chat' ? row.messages.at(-1)!.content : '';
    expect(reply.startsWith('<no_answer/>')).toBe(true);
    expect(parseMarks(reply)).toEqual({ mark: 'no_answer', text: reply.slice('<no_answer/>'.length) });
  });

  it('leaves plain text plain', () => {
    expect(conversation({ text: 'A page.' })).toEqual({ kind: 'text', text: 'A page.' });
  });
});

describe('parseMarks', () => {
  it('reads a tool call and the sentence behind it', () => {
    expect(parseMarks(' <tool_call>{"name":"f","arguments":{"a":1}}</tool_call> One moment.')).toEqual({
      mark: 'tool_call',
      text: 'One moment.',
      toolCall: { name: 'f', arguments: { a: 1 } },
    });
  });

  it.each([
    '<tool_call>{"name":"f"',
    '<tool_call>not json</tool_call>',
    '<tool_call>{"name":"","arguments":{}}</tool_call>',
    '<tool_call>{"name":"f","arguments":[1]}</tool_call>',
    '<tool_call>null</tool_call>',
  ])('keeps the mark of an unreadable call: %s', (reply) => {
    expect(parseMarks(reply)).toEqual({ mark: 'tool_call', text: '' });
  });

  it('takes marks at the start only', () => {
    expect(parseMarks('We say <hand_off/> here. ')).toEqual({ mark: null, text: 'We say <hand_off/> here.' });
    expect(parseMarks('<hand_off/>A colleague will help.')).toEqual({
      mark: 'hand_off',
      text: 'A colleague will help.',
    });
  });
});

describe('detectLanguage', () => {
  it.each([
    ['我的 iPhone Pro 坏了', 'zh'],
    ['What does 快递 mean?', 'en'],
    ['12345', 'en'],
  ])('%s is %s', (text, lang) => {
    expect(detectLanguage(text)).toBe(lang);
  });
});
