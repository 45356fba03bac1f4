import { describe, expect, it } from 'vitest';
import { Draws } from '../random/draws.js';
import { noisyText, withNoise } from './noise.js';

const heavy = { words: 0.3, letters: 0.5, variants: 2 };
const many = (text: string) =>
  Array.from({ length: 200 }, (_, i) => noisyText(text, heavy, Draws.of(7, 'n', i)));

describe('noisyText', () => {
  it('keeps numbers and never leaves nothing', () => {
    for (const text of many('Where is order 4711, paid 19.99 on Monday?')) {
      expect(text).toMatch(/4711/);
      expect(text).toMatch(/19\.99/);
    }
    for (const text of ['Hi', '退款', '???', 'why not'])
      expect(many(text).every((noisy) => noisy !== '')).toBe(true);
  });

  it('drops and mistypes words of both languages, but not every time', () => {
    const english = 'please cancel the delivery tomorrow';
    expect(new Set(many(english)).size).toBeGreaterThan(100);
    const words = new Set(many(english).flatMap((text) => text.split(' ')));
    expect([...words].some((word) => !english.includes(word))).toBe(true);
    const lengths = many('请问我的快递什么时候能送到家里').map((text) => text.length);
    expect(Math.min(...lengths)).toBeLessThan(15);
    expect(Math.max(...lengths)).toBe(15);
  });

  it('leaves the text alone where nothing is asked for but carelessness', () => {
    const calm = Array.from({ length: 50 }, (_, i) =>
      noisyText('Cancel it.', { words: 0, letters: 0, variants: 2 }, Draws.of(1, 'n', i)),
    );
    expect(new Set(calm)).toEqual(new Set(['Cancel it.', 'cancel it.', 'Cancel it', 'cancel it']));
  });
});

describe('withNoise', () => {
  it("touches the customer's words only", () => {
    const messages = [
      { role: 'system', content: 'Answer from the passages only.' },
      { role: 'user', content: 'where is my parcel today' },
      { role: 'assistant', content: 'Let me look into that for you.' },
      { role: 'user', content: '<tool_response>{"status": "sent yesterday evening"}</tool_response>' },
      { role: 'assistant', content: 'It was sent yesterday evening.' },
    ] as const;
    const noisy = Array.from({ length: 20 }, (_, i) => withNoise(messages, heavy, Draws.of(3, 'w', i)));
    for (const copy of noisy) for (const at of [0, 2, 3, 4]) expect(copy[at]).toEqual(messages[at]);
    expect(new Set(noisy.map((copy) => copy[1]!.content)).size).toBeGreaterThan(10);
  });
});
