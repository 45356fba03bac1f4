import { describe, expect, it } from 'vitest';
import { scheduleAt, scheduleDefaults } from './schedule.js';

const points = (options: Partial<typeof scheduleDefaults>, at: readonly number[]) =>
  at.map((p) => Number(scheduleAt({ ...scheduleDefaults, floor: 0.1, ...options }, p).toFixed(6)));

describe('scheduleAt', () => {
  it('warms up linearly and stays', () => {
    expect(points({ kind: 'constant', warmup: 0.1 }, [0, 0.05, 0.1, 0.7, 1])).toEqual([0, 0.5, 1, 1, 1]);
  });

  it('follows half a cosine from the end of the warm-up to the floor', () => {
    expect(points({ kind: 'cosine', warmup: 0.2 }, [0.1, 0.2, 0.6, 1, 2])).toEqual([0.5, 1, 0.55, 0.1, 0.1]);
  });

  it('holds the peak and decays at the end, linearly or as 1 - sqrt', () => {
    expect(points({ kind: 'wsd', warmup: 0, decay: 0.4, shape: 'linear' }, [0, 0.6, 0.8, 1])).toEqual([
      1, 1, 0.55, 0.1,
    ]);
    expect(points({ kind: 'wsd', warmup: 0, decay: 0.4, shape: '1-sqrt' }, [0.6, 0.7, 1])).toEqual([
      1, 0.55, 0.1,
    ]);
  });

  it('needs no decay phase', () => {
    expect(points({ kind: 'wsd', warmup: 0, decay: 0 }, [0, 1])).toEqual([1, 1]);
  });
});
