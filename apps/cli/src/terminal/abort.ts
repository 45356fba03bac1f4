import { Interrupted } from './failure.js';
import { onInterrupt } from './cleanup.js';

/**
 * Runs a job that listens to a signal. Ctrl-C aborts it with `Interrupted`, so that it can put things in order; a
 * second Ctrl-C ends the program at once.
 */
export async function interruptible<T>(job: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const release = onInterrupt(() => {
    release();
    controller.abort(new Interrupted());
  });
  try {
    return await job(controller.signal);
  } finally {
    release();
  }
}
