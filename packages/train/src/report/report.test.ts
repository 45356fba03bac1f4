import { describe, expect, it } from 'vitest';
import { initialState, type TrainState } from '../trainer/train-state.js';
import { ticksOf } from './chart.js';
import { lossCurveHtml } from './loss-curve-html.js';
import { lossCurveText } from './loss-curve-text.js';

const state: TrainState = {
  ...initialState,
  steps: Array.from({ length: 5000 }, (_, i) => ({
    step: i + 1,
    tokens: i * 10,
    elapsedMs: i,
    loss: i === 77 ? NaN : 2 + 6 / (1 + i / 100),
    lr: 1e-3,
    norm: 1,
  })),
  evaluations: [
    { step: 2000, tokens: 1, elapsedMs: 1, loss: 3, sets: { '<zh>': 3, en: 2.5 } },
    { step: 5000, tokens: 1, elapsedMs: 1, loss: 2.5, sets: { '<zh>': 2.5, en: 2.25 } },
  ],
};

describe('lossCurveHtml', () => {
  it('is one file with all curves, and escapes names', () => {
    const html = lossCurveHtml('a & b', state);
    expect(html).toContain('a &#38; b');
    expect(html).toContain('&#60;zh&#62; 2.500');
    expect(html.match(/<path /g)).toHaveLength(5);
    expect(html).not.toMatch(/NaN|Infinity|<script|https?:/);
    expect(html.length).toBeLessThan(150_000);
  });

  it('shows a run that has not begun', () => {
    expect(lossCurveHtml('new', initialState)).toContain('No step was made yet.');
  });
});

describe('lossCurveText', () => {
  it('falls from the top left to the bottom right', () => {
    const lines = lossCurveText(state, 40, 5).split('\n');
    expect(lines).toHaveLength(5);
    expect(lines.every((line) => [...line].length === 40)).toBe(true);
    expect(lines[0]).toMatch(/^ +\d\.\d\d ┤[^⠀]/);
    expect(lines[4]!.trimEnd()).toMatch(/[^⠀]$/);
    expect(lossCurveText(initialState, 40, 5)).toBe('');
    expect(lossCurveText(state, 9, 5)).toBe('');
  });
});

it('ticksOf gives round numbers', () => {
  expect(ticksOf(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(ticksOf(2.3, 8.9, 4)).toEqual([4, 6, 8]);
  expect(ticksOf(3, 3, 4)).toEqual([3]);
});
