import { describe, expect, it } from 'vitest';
import { Turns } from './turns.js';

const pause = () => new Promise<void>((resolve) => setTimeout(resolve));

describe('turns', () => {
  it('rotate, one at a time', async () => {
    const turns = new Turns(9);
    const log: string[] = [];
    let running = 0;
    const talk = async (name: string) => {
      for (let i = 0; i < 3; i++) {
        await turns.take(async () => {
          expect(++running).toBe(1);
          await pause();
          log.push(name);
          running--;
        });
      }
    };
    await Promise.all([talk('a'), talk('b'), talk('c')]);
    expect(log.join('')).toBe('abcabcabc');
  });

  it('let go of whoever aborts while waiting, and go on after a failure', async () => {
    const turns = new Turns(9);
    const controller = new AbortController();
    const first = turns.take(async () => {
      await pause();
      throw new Error('broken');
    });
    const second = turns.take(() => Promise.resolve('second'), controller.signal);
    const third = turns.take(() => Promise.resolve('third'));
    controller.abort();
    expect(await second).toBeUndefined();
    await expect(first).rejects.toThrow('broken');
    expect(await third).toBe('third');
  });

  it('admit so many jobs and no more', () => {
    const turns = new Turns(2);
    const leave = turns.admit();
    turns.admit();
    expect(() => turns.admit()).toThrow('2 conversations are already waiting');
    leave();
    leave();
    turns.admit();
    expect(() => turns.admit()).toThrow('already waiting');
  });
});
