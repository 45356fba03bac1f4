import { describe, expect, it } from 'vitest';
import { formatBytes, formatDuration } from './format.js';
import { Progress } from './progress.js';

function watch(isTTY: boolean) {
  const written: string[] = [];
  let now = 0;
  const stream = { isTTY, columns: 40, write: (text: string) => written.push(text) };
  return { written, progress: new Progress('Job', stream, () => now), pass: (ms: number) => (now += ms) };
}

describe('Progress', () => {
  it('prints plain lines, seldom, outside a terminal', () => {
    const { written, progress, pass } = watch(false);
    for (let step = 1; step <= 100; step++) {
      pass(120);
      progress.update(step, 100, `step ${step}`);
    }
    progress.finish('100 steps');
    expect(written).toEqual([
      'Job: 42 %, step 42, about 7.0 s left\n',
      'Job: 84 %, step 84, about 1.9 s left\n',
      'Job: 100 steps (12 s)\n',
    ]);
  });

  it('redraws one line in a terminal, within its width, and leaves it clean', () => {
    const { written, progress, pass } = watch(true);
    pass(1000);
    progress.update(1, 1000, 'x'.repeat(100));
    progress.finish();
    const esc = String.fromCharCode(27);
    expect(written).toHaveLength(3);
    expect(written[1]).toBe(`\r${esc}[2K${`Job: 0 %, ${'x'.repeat(100)}`.slice(0, 39)}`);
    expect(written[2]).toBe(`\r${esc}[2K`);
  });

  it('redraws a block above the line and clears both', () => {
    const { written, progress, pass } = watch(true);
    progress.above('one\ntwo');
    for (const step of [1, 2]) {
      pass(1000);
      progress.update(step, 4);
    }
    progress.finish();
    const esc = String.fromCharCode(27);
    expect(written[1]).toBe(`\r${esc}[2Kone\ntwo\nJob: 25 %, about 3.0 s left`);
    expect(written[2]).toBe(`\r${esc}[2K${esc}[2A${esc}[Jone\ntwo\nJob: 50 %, about 2.0 s left`);
    expect(written[3]).toBe(`\r${esc}[2K${esc}[2A${esc}[J`);
  });
});

describe('formats', () => {
  it('of durations', () => {
    expect([0.04, 9.96, 59.6, 200, 7500].map(formatDuration)).toEqual([
      '0.0 s',
      '10 s',
      '1 min 0 s',
      '3 min 20 s',
      '2 h 5 min',
    ]);
  });
  it('of bytes', () => {
    expect([0, 999, 1000, 9_949_000, 54_321_000, 1.35e9].map(formatBytes)).toEqual([
      '0 B',
      '999 B',
      '1.00 kB',
      '9.95 MB',
      '54.3 MB',
      '1.35 GB',
    ]);
  });
});
