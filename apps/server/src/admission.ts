import { ApiError } from './openai/api-error.js';

interface Waiter {
  admit(): void;
}

/**
 * Who may generate now: at most `running` at once, at most `waiting` behind them in order of arrival, and the rest is
 * refused with the seconds after which a try makes sense. It counts turns; it does not run anything.
 */
export class Admission {
  readonly #queue: Waiter[] = [];
  #running = 0;
  #stopped = false;
  /** Moving average of how long a turn takes; a guess until the first turn ends. */
  #turnMs = 2000;

  constructor(
    private readonly capacity: { readonly running: number; readonly waiting: number },
    private readonly now: () => number = () => performance.now(),
  ) {}

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** Refuses everyone from now on; those inside finish. */
  stop(): void {
    this.#stopped = true;
  }

  /** Resolves, when it is the caller's turn, with the function that ends the turn. Rejects with the signal's reason. */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#stopped) {
      throw new ApiError(503, 'server_error', 'The server is stopping.', {
        code: 'stopping',
        headers: { 'retry-after': '5', connection: 'close' },
      });
    }
    if (this.#running < this.capacity.running) this.#running++;
    else await this.#wait(signal);
    const start = this.now();
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#turnMs += 0.2 * (this.now() - start - this.#turnMs);
      const next = this.#queue.shift();
      if (next === undefined) this.#running--;
      else next.admit();
    };
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#queue.length >= this.capacity.waiting) {
      const ahead = this.#queue.length + this.capacity.running;
      const seconds = Math.ceil((ahead * this.#turnMs) / this.capacity.running / 1000);
      throw new ApiError(429, 'rate_limit_error', 'Too many requests are waiting; try again later.', {
        code: 'queue_full',
        headers: { 'retry-after': String(Math.min(60, Math.max(1, seconds))) },
      });
    }
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#queue.splice(this.#queue.indexOf(waiter), 1);
        reject(signal.reason as Error);
      };
      const waiter: Waiter = {
        admit: () => {
          signal.removeEventListener('abort', leave);
          resolve();
        },
      };
      this.#queue.push(waiter);
      signal.addEventListener('abort', leave, { once: true });
    });
  }
}
