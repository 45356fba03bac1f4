import { parseRow, refusalReply, type DialogueMessage, type GroundedRow } from '@edgedesk/models';
import { describe, expect, it } from 'vitest';
import { Draws } from '../random/draws.js';
import { drillDefaults, drillsOf, type DrillOptions } from './drill.js';

/** Question `q7.2` asks for passage 7, beside which passage 8 stands. */
const rows = Array.from({ length: 90 }, (_, i) => {
  const passage = i % 30;
  const context = [passage, (passage + 1) % 30].map((id) => ({ id: `p${id}`, text: `text of ${id}.` }));
  const row = {
    question: `q${passage}.${i}`,
    context,
    gold_ids: [`p${passage}`],
    answer: `a${passage}`,
    lang: 'en',
  };
  return parseRow(row, 'test') as GroundedRow;
});

const drills = (options: Partial<DrillOptions>, seed = 1) =>
  drillsOf(rows, { ...drillDefaults, ...options }, Draws.of(seed, 'x', 0));

const exchanges = (messages: readonly DialogueMessage[]) => {
  const said = messages.filter(({ role }) => role !== 'system').map(({ content }) => content);
  return Array.from({ length: said.length / 2 }, (_, i) => [said[2 * i]!, said[2 * i + 1]!] as const);
};
const passageAsked = (question: string) => question.slice(1).split('.')[0]!;
const sorted = (texts: Iterable<string>) => [...texts].sort();

describe('drillsOf', () => {
  it('asks every question once by heart, without a system message', () => {
    const made = drills({ passages: 0, questions: 7 });
    expect(made.length).toBe(Math.ceil(rows.length / 7));
    expect(made.flat().some(({ role }) => role === 'system')).toBe(false);
    const all = made.flatMap(exchanges);
    expect(sorted(all.map(([question]) => question))).toEqual(sorted(rows.map(({ question }) => question)));
    for (const [question, answer] of all) expect(answer).toBe(`a${passageAsked(question)}`);
    expect(drills({ passages: 0, questions: 7 })).toEqual(made);
    expect(drills({ passages: 0, questions: 7 }, 2)).not.toEqual(made);
  });

  it('asks several questions over a few passages that hold the answers', () => {
    const made = drills({ passages: 4, questions: 6 });
    for (const messages of made) {
      const system = messages[0]!.content;
      expect(system.match(/^\[\d\]/gm)!.length).toBeLessThanOrEqual(4);
      const turns = exchanges(messages);
      expect(turns.length).toBeLessThanOrEqual(6);
      for (const [question, answer] of turns) {
        expect(answer).toBe(`a${passageAsked(question)}`);
        expect(system).toContain(`text of ${passageAsked(question)}.`);
      }
    }
    const asked = made.flatMap(exchanges).map(([question]) => question);
    expect(sorted(new Set(asked))).toEqual(sorted(rows.map(({ question }) => question)));
    expect(asked.length).toBe(rows.length);
  });

  it('refuses exactly the questions whose passage is not there', () => {
    let refused = 0;
    for (const messages of drills({ passages: 3, unanswerable: 0.5 })) {
      for (const [question, answer] of exchanges(messages)) {
        const there = messages[0]!.content.includes(`text of ${passageAsked(question)}.`);
        expect(answer === refusalReply('en')).toBe(!there);
        if (!there) refused++;
      }
    }
    expect(refused).toBeGreaterThan(10);
  });

  it('leaves out what cannot be drilled: no answer, a history, no known passage', () => {
    const [row] = rows as [GroundedRow];
    const odd: GroundedRow[] = [
      { ...row, answer: null, goldIds: [] },
      { ...row, history: [{ role: 'user', content: 'Hi' }] },
      { ...row, goldIds: ['elsewhere'], answer: 'not in the text' },
    ];
    expect(drillsOf(odd, drillDefaults, Draws.of(1, 'x', 0))).toEqual([]);
  });
});
