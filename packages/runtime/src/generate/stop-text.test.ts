import { describe, expect, it } from 'vitest';
import { randomNumbers } from '../artefact.case.js';
import { StopText } from './stop-text.js';

describe('stop text', () => {
  it('holds back what may still become a stop sequence, and nothing else', () => {
    const stop = new StopText(['END', '。。']);
    expect(stop.push('abcE')).toBe('abc');
    expect(stop.push('N')).toBe('');
    expect(stop.push('X')).toBe('ENX');
    expect(stop.push('好。')).toBe('好');
    expect(stop.end()).toBe('。');
    expect(stop.push('tail EN')).toBe('tail ');
    expect(stop.push('D and more')).toBe('');
    expect(stop.stopped).toBe(true);
    expect(stop.push('x') + stop.end()).toBe('');
  });

  it('ends at the one that is complete first', () => {
    expect(new StopText(['cd', 'bcde']).push('abcdef')).toBe('ab');
    expect(new StopText(['cd', 'bcd']).push('abcdef')).toBe('a');
    expect(new StopText([]).push('abc')).toBe('abc');
  });

  it('agrees with cutting the whole text, however it is split', () => {
    const random = randomNumbers(3);
    const letters = (n: number) => Array.from({ length: n }, () => 'abc'[Math.floor(random() * 3)]).join('');
    for (let round = 0; round < 2000; round++) {
      const text = letters(30);
      const stops = [letters(1 + Math.floor(random() * 6)), letters(4)];
      const ends = stops.map((s) => (text.includes(s) ? text.indexOf(s) + s.length : Infinity));
      const end = Math.min(...ends);
      const at = Math.min(text.length, ...stops.filter((_, i) => ends[i] === end).map((s) => end - s.length));
      const stop = new StopText(stops);
      let shown = '';
      let rest = text;
      while (rest !== '' && !stop.stopped) {
        const n = 1 + Math.floor(random() * 4);
        shown += stop.push(rest.slice(0, n));
        rest = rest.slice(n);
        expect(text.slice(0, at).startsWith(shown)).toBe(true);
      }
      shown += stop.end();
      expect(shown).toBe(text.slice(0, at));
    }
  });
});
