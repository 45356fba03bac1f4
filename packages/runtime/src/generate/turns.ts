import { RuntimeFailure } from '@edgedesk/tensor';

/**
 * Fair turns on one session. Work is cut into short turns; whoever wants another queues up again behind everyone who
 * waits, so conversations advance in rotation.
 */
export class Turns {
  private busy = false;
  private readonly waiting: (() => void)[] = [];
  private admitted = 0;
  private closed = false;

  /** `maxJobs` conversations at once; the next is refused. */
  constructor(private readonly maxJobs: number) {}

  /** Announces a job of many turns; call the result when it is over. RuntimeFailure when there are too many. */
  admit(): () => void {
    if (this.admitted >= this.maxJobs) {
      throw new RuntimeFailure(`${this.admitted} conversations are already waiting for the model`, {
        fix: 'try again in a moment',
      });
    }
    this.admitted++;
    let over = false;
    return () => {
      if (!over) this.admitted--;
      over = true;
    };
  }

  /** Runs `work` when the session is free; undefined, without running it, when `signal` aborts before that. */
  async take<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T | undefined> {
    if (!(await this.acquire(signal))) return undefined;
    try {
      if (this.closed) throw new RuntimeFailure('the model was closed meanwhile', { fix: 'open it again' });
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.busy = false;
    }
  }

  /** Runs `work` as the last turn; those after it fail with RuntimeFailure. */
  async close(work: () => Promise<void>): Promise<void> {
    await this.take(() => {
      this.closed = true;
      return work();
    });
  }

  private acquire(signal?: AbortSignal): Promise<boolean> {
    if (signal?.aborted) return Promise.resolve(false);
    if (!this.busy) {
      this.busy = true;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const start = () => {
        signal?.removeEventListener('abort', leave);
        resolve(true);
      };
      const leave = () => {
        const at = this.waiting.indexOf(start);
        if (at >= 0) this.waiting.splice(at, 1);
        resolve(false);
      };
      this.waiting.push(start);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }
}
