import { parseRow, refusalReply, type GroundedRow } from '@edgedesk/models';
import { describe, expect, it } from 'vitest';
import { Draws } from '../random/draws.js';
import { joinRows } from './join-rows.js';

const row = (question: string, passage: string, answer: string | null, history: object[] = []): GroundedRow =>
  parseRow(
    {
      question,
      context: [
        { id: passage, text: `text of ${passage}` },
        { id: `beside ${passage}`, text: `text beside ${passage}` },
      ],
      gold_ids: answer === null ? [] : [passage],
      answer,
      history,
      lang: 'en',
    },
    'test',
  ) as GroundedRow;

/** Question and answer pairs of a joined row. */
const exchanges = (joined: GroundedRow) => {
  const texts = [...joined.history.map(({ content }) => content), joined.question, joined.answer];
  return Array.from({ length: texts.length / 2 }, (_, i) => [texts[2 * i], texts[2 * i + 1]] as const);
};

describe('joinRows', () => {
  const apart = Array.from({ length: 60 }, (_, i) => row(`q${i}`, `p${i}`, `a${i}`));

  it('asks every question once, over passages that hold its answer', () => {
    const joined = joinRows(apart, { questions: 3, unanswerable: 0 }, Draws.of(1, 'x', 0));
    expect(joined.length).toBeLessThan(50);
    const all = joined.flatMap(exchanges);
    expect(all.map(([question]) => question).sort()).toEqual(apart.map(({ question }) => question).sort());
    for (const conversation of joined) {
      expect(conversation.history.length).toBeLessThanOrEqual(4);
      const ids = conversation.context.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      for (const [question, answer] of exchanges(conversation)) {
        expect(answer).toBe(`a${question!.slice(1)}`);
        expect(ids).toContain(`p${question!.slice(1)}`);
      }
    }
    expect(joinRows(apart, { questions: 3, unanswerable: 0 }, Draws.of(1, 'x', 0))).toEqual(joined);
    expect(joinRows(apart, { questions: 3, unanswerable: 0 }, Draws.of(1, 'x', 1))).not.toEqual(joined);
  });

  it('refuses exactly the questions whose passage was left out', () => {
    const joined = joinRows(apart, { questions: 3, unanswerable: 0.5 }, Draws.of(2, 'x', 0));
    let refused = 0;
    for (const conversation of joined) {
      const ids = conversation.context.map(({ id }) => id);
      for (const [question, answer] of exchanges(conversation)) {
        const there = ids.includes(`p${question!.slice(1)}`);
        expect(answer === null || answer === refusalReply('en')).toBe(!there);
        if (!there) refused++;
      }
    }
    expect(refused).toBeGreaterThan(5);
    expect(refused).toBeLessThan(30);
  });

  it('joins rows that share their passages, and leaves rows with a history alone', () => {
    const shared = ['one', 'two', 'three'].map((question) => row(question, 'same', `to ${question}`));
    const spoken = row('and then?', 'other', 'so', [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: 'hello' },
    ]);
    const joined = joinRows([...shared, spoken], { questions: 9, unanswerable: 1 }, Draws.of(5, 'x', 0));
    expect(joined.at(-1)).toBe(spoken);
    for (const conversation of joined.slice(0, -1)) expect(conversation.context).toHaveLength(2);
    expect(joined.slice(0, -1).flatMap(exchanges)).toHaveLength(3);
  });
});
