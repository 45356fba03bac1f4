import { parseRow, rowToConversation } from '@edgedesk/models';
import type { Row, SpokenRow } from '@edgedesk/models';
import type { ChatMessage } from '@edgedesk/runtime';
import type { RowFile } from '../tasks/plan.js';

const intents: [string, string][] = [
  ['where is my parcel', 'track_order'],
  ['my parcel has not come', 'track_order'],
  ['track order 17', 'track_order'],
  ['i want my money back', 'refund'],
  ['please refund me', 'refund'],
  ['give me a refund', 'refund'],
  ['i lost my card', 'card_lost'],
  ['card stolen', 'card_lost'],
  ['what is the weather', 'oos'],
  ['sing a song', 'oos'],
];

const chats: [string, string][] = [
  ['Where is my parcel?', 'It is on its way.'],
  ['Can I return shoes?', 'Yes, within 30 days.'],
  ['你好', '您好，请问有什么可以帮您？'],
  ['怎么退货？', '七天内可以退货。'],
];

const rows = (file: string, list: unknown[]): RowFile => ({
  file,
  rows: list.map((json, i): Row => parseRow(json, `${file}:${i + 1}`)),
});

/** One small file of every format, in our own words. */
export const sampleFiles = {
  intent: rows(
    'intent.jsonl',
    intents.map(([text, intent]) => ({ text, intent, lang: 'en' })),
  ),
  chat: rows(
    'chat.jsonl',
    chats.map(([question, answer]) => ({
      messages: [
        { role: 'user', content: question },
        { role: 'assistant', content: answer },
      ],
    })),
  ),
  grounded: rows('grounded.jsonl', [
    {
      question: 'Opening hours?',
      context: [{ title: 'Shop', text: 'Open 9 to 5.' }],
      answer: '9 to 5',
      lang: 'en',
    },
    { question: '几点开门？', context: [{ text: '九点开门。' }], answer: '九点', lang: 'zh' },
    { question: 'Is there a lift?', context: [{ text: 'Open 9 to 5.' }], answer: null, lang: 'en' },
  ]),
  text: rows('text.jsonl', [{ text: 'Returns are free.\n\nWrite to us.' }, { text: '七天内可以退货。' }]),
  retrieval: rows('retrieval.jsonl', [{ id: 'd', title: 'T', text: 'words' }]),
};

/** The conversations of all sample rows, to train the bigram model on. */
export function sampleCorpus(): (readonly ChatMessage[])[] {
  return Object.values(sampleFiles).flatMap((file) =>
    file.rows.flatMap((row) => {
      if (row.kind === 'retrieval') return [];
      const conversation = rowToConversation(row as SpokenRow);
      return [
        conversation.kind === 'chat'
          ? conversation.messages
          : [{ role: 'assistant', content: conversation.text } as const],
      ];
    }),
  );
}
