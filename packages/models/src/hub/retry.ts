import type { HubClient } from './client.js';
import { PassingFailure } from './failure.js';

/**
 * Runs `work` until it succeeds or fails for good, with pauses that double, or as long as the server asks for.
 * `bytes` tells how far it is: attempts that bring much do not count.
 */
export async function withRetries<T>(
  client: HubClient,
  work: () => Promise<T>,
  bytes: () => number = () => 0,
): Promise<T> {
  const { attempts, pauseMs, maxPauseMs, progressBytes } = client.timing;
  let reached = bytes();
  for (let failures = 0; ; ) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof PassingFailure)) throw error;
      if (bytes() > reached + progressBytes) failures = 0;
      reached = Math.max(reached, bytes());
      if (++failures >= attempts) throw error;
      // Up to half less, so that many clients do not come back together.
      const pause = Math.min(maxPauseMs, pauseMs * 2 ** (failures - 1)) * (1 - Math.random() / 2);
      await sleep(error.retryAfterMs ?? pause, client.signal);
    }
  }
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const wake = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', wake);
      try {
        signal?.throwIfAborted();
        resolve();
      } catch (error) {
        reject(error as Error);
      }
    };
    const timer = setTimeout(wake, ms);
    if (signal?.aborted === true) wake();
    signal?.addEventListener('abort', wake, { once: true });
  });
}
