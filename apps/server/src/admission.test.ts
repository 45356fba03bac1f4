import { describe, expect, it } from 'vitest';
import { Admission } from './admission.js';

const never = new AbortController().signal;

describe('Admission', () => {
  it('admits in order of arrival and refuses beyond its bounds', async () => {
    const admission = new Admission({ running: 1, waiting: 2 });
    const order: string[] = [];
    const leave = await admission.enter(never);
    const second = admission.enter(never).then((end) => (order.push('second'), end));
    const third = admission.enter(never).then((end) => (order.push('third'), end));
    await expect(admission.enter(never)).rejects.toMatchObject({
      status: 429,
      details: { headers: { 'retry-after': expect.stringMatching(/^[1-9]\d*$/) as string } },
    });
    leave();
    leave(); // Ending a turn twice frees one place only.
    (await second)();
    (await third)();
    expect(order).toEqual(['second', 'third']);
    expect([admission.running, admission.waiting]).toEqual([0, 0]);
  });

  it('forgets who gives up waiting', async () => {
    const admission = new Admission({ running: 1, waiting: 1 });
    const leave = await admission.enter(never);
    const controller = new AbortController();
    const waiting = admission.enter(controller.signal);
    controller.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    expect(admission.waiting).toBe(0);
    leave();
    expect(admission.running).toBe(0);
  });

  it('asks for more patience as turns grow longer', async () => {
    let now = 0;
    const admission = new Admission({ running: 1, waiting: 0 }, () => now);
    for (let turn = 0; turn < 30; turn++) {
      const leave = await admission.enter(never);
      now += 20_000;
      leave();
    }
    await admission.enter(never);
    await expect(admission.enter(never)).rejects.toMatchObject({
      details: { headers: { 'retry-after': '20' } },
    });
  });

  it('refuses newcomers once stopped', async () => {
    const admission = new Admission({ running: 1, waiting: 1 });
    admission.stop();
    await expect(admission.enter(never)).rejects.toMatchObject({ status: 503 });
  });
});
