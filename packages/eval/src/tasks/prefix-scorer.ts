import type { Engine, ScoreResult } from '@edgedesk/runtime';

/** Scores token sequences on one engine, each call reusing the keys and values it shares with the call before. */
export class PrefixScorer {
  private previous: readonly number[] = [];

  constructor(readonly engine: Engine) {}

  /** Log-probabilities of `tokens[start..]`; `start` >= 1. With `withRows`, whole log-softmax rows as well. */
  async score(tokens: readonly number[], start: number, withRows = false): Promise<ScoreResult> {
    // The token before the first scored one must run: its output is the prediction.
    const sharedPrefix = Math.min(commonPrefix(this.previous, tokens), start - 1);
    // Forgotten first: a call that fails halfway leaves an unknown cache behind.
    this.previous = [];
    const result = await this.engine.score(tokens, { start, withRows, sharedPrefix });
    this.previous = tokens;
    return result;
  }
}

/** How many leading ids two sequences share. */
export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}
