import { parseRow } from '@edgedesk/models';
import { describe, expect, it } from 'vitest';
import { estimates } from '../metrics/estimates.js';
import { answerScores } from './row-scores.js';
import { planFile } from './plan.js';

const chat = (reply: string) =>
  parseRow(
    {
      messages: [
        { role: 'user', content: 'help' },
        { role: 'assistant', content: reply },
      ],
      lang: 'en',
    },
    'test',
  );

describe('hand-overs', () => {
  it('are asked for in files where some conversation ends in one', () => {
    const file = (replies: readonly string[]) => ({ file: 'f', rows: replies.map(chat) });
    expect(planFile(file(['Sure.', '<hand_off/>One moment.']), undefined, 1).handOffs).toBe(true);
    expect(planFile(file(['Sure.', 'I say <hand_off/>']), undefined, 1).handOffs).toBe(false);
  });

  it('are counted where they must be and where they need not be', () => {
    const row = (needsPerson: boolean, handedOff: boolean) => ({ nll: 1, tokens: 1, needsPerson, handedOff });
    const rows = [row(true, true), row(true, false), row(true, true), row(false, true), row(false, false)];
    const found = estimates(rows);
    const every = Uint32Array.from(rows.keys());
    expect(found.get('handOffRecall')!(every)).toBeCloseTo(2 / 3);
    expect(found.get('falseHandOffRate')!(every)).toBeCloseTo(1 / 2);
  });
});

describe('the right passage', () => {
  const row = {
    answer: 'Free within 60 days.',
    answers: [],
    context: [
      { id: 'a', text: 'Sending costs $4.95 below $49.' },
      { id: 'b', text: 'Returns are free within 60 days.' },
    ],
    goldIds: ['b'],
  };
  it('is the one the reply rests on; a refusal rests on none', () => {
    expect(answerScores('It is free for 60 days', row).rightPassage).toBe(true);
    expect(answerScores('It costs $4.95', row).rightPassage).toBe(false);
    expect(answerScores('<no_answer/>Returns are free within 60 days.', row).rightPassage).toBe(false);
  });
  it('is not asked where there is no choice or no gold', () => {
    expect(answerScores('x', { ...row, context: row.context.slice(1) }).rightPassage).toBeUndefined();
    expect(answerScores('x', { ...row, goldIds: [] }).rightPassage).toBeUndefined();
  });
});
