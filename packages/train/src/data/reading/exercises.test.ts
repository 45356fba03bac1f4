import type { TextRow } from '@edgedesk/models';
import { describe, expect, it } from 'vitest';
import { Draws } from '../../random/draws.js';
import { exercisesOf } from './exercises.js';
import { passagesOf, sentencesOf } from './passages.js';

const zh: TextRow = {
  kind: 'text',
  lang: 'zh',
  text: [
    '越南语',
    '越南语属于南亚语系，是越南的官方语言。大约从东汉开始，汉字传入越南，当时最著名的一部史书是《大越史记全书》。1919年科举废止以后，汉字逐渐减少使用。全国约有8500万人使用越南语。',
    '文字',
    '国语字由传教士在17世纪创制，采用罗马字母书写。1945年起国语字成为正式的书写标准，学校用它教学，报纸也用它印刷。',
  ].join('\n\n'),
};
const en: TextRow = {
  kind: 'text',
  lang: 'en',
  text: [
    'Compact disc',
    'The compact disc is a digital optical data storage format that was developed by Philips and Sony and released in 1982. It was originally developed to store sound recordings. The first player was sold in Japan in October 1982, and the price was about 900 dollars.',
    'The disc is 120 millimetres wide and holds up to 74 minutes of audio. Smaller discs hold 24 minutes. In 2007 about 200 billion discs had been sold in the whole world.',
  ].join('\n\n'),
};

describe('exercisesOf', () => {
  const rows = Array.from({ length: 40 }, (_, i) => [zh, en][i % 2]!);
  const exercises = exercisesOf(rows, { questions: 3, passages: 3 }, Draws.of(1, 'r', 0));

  it('asks only what a passage answers word for word', () => {
    expect(exercises.length).toBeGreaterThan(30);
    for (const { context, history, question, answer } of exercises) {
      const answers = [
        ...history.filter(({ role }) => role === 'assistant').map(({ content }) => content),
        answer,
      ];
      for (const text of answers) expect(context.some((passage) => passage.text.includes(text!))).toBe(true);
      expect(new Set(answers).size).toBe(answers.length);
      expect(question.length).toBeGreaterThan(3);
    }
  });

  it('asks by kind of span, and by title or number', () => {
    const questions = exercises
      .flatMap(({ history, question }) => [...history.map(({ content }) => content), question])
      .join('\n');
    for (const form of [
      '哪部作品',
      '哪一年',
      '多少',
      /第\d条/,
      'ompact disc',
      /passage \d/,
      /[Ww]hich year/,
    ]) {
      expect(questions).toMatch(form);
    }
  });

  it('depends on the draws alone', () => {
    const again = (seed: number) => exercisesOf(rows, { questions: 3, passages: 3 }, Draws.of(seed, 'r', 0));
    expect(again(1)).toEqual(exercises);
    expect(again(2)).not.toEqual(exercises);
  });

  it('makes nothing of text that has no passage', () => {
    const short: TextRow = { kind: 'text', lang: 'en', text: 'Title only' };
    expect(exercisesOf([short], { questions: 3, passages: 3 }, Draws.of(1, 'r', 0))).toEqual([]);
  });
});

describe('passagesOf', () => {
  it('gives a line above a paragraph to it as its title', () => {
    expect(passagesOf(zh.text, 'zh').map(({ title }) => title)).toEqual(['越南语', '文字']);
    expect(passagesOf(en.text, 'en').map(({ title }) => title)).toEqual(['Compact disc']);
  });

  it('keeps to its length, at sentences', () => {
    const long = Array.from({ length: 60 }, (_, i) => `这是第${i}句话，说的是同一件事情。`).join('');
    const passages = passagesOf(long, 'zh');
    expect(passages.length).toBeGreaterThan(2);
    for (const { text } of passages) {
      expect(text.length).toBeLessThanOrEqual(260);
      expect(text).toMatch(/^这是.*。$/u);
    }
  });
});

describe('sentencesOf', () => {
  it('ends a sentence at its marks, not inside numbers', () => {
    expect(sentencesOf('It costs 4.95 in all. Why? 好的。“行。”走吧')).toEqual([
      'It costs 4.95 in all.',
      'Why?',
      '好的。',
      '“行。”',
      '走吧',
    ]);
  });
});
