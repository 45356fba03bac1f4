import { HubError, type HubFailure } from '@edgedesk/tensor';
import type { HubClient } from './client.js';
import { hubLimits } from './limits.js';
import type { Exchange } from './send.js';

/** A failure that may be over when we ask again. */
export class PassingFailure extends HubError {
  constructor(
    reason: HubFailure,
    message: string,
    where: string,
    /** The server's own word on when to come back. */
    readonly retryAfterMs?: number,
    fix = 'try again later: what has arrived is kept',
  ) {
    super(reason, message, { where, fix });
  }
}

/** What an answer that is no success means. `what`: "the repository a/b" or a file of it. */
export function failureOf(client: HubClient, { status, headers }: Exchange, what: string, where: string): HubError {
  const code = headers.get('x-error-code') ?? '';
  if (code === 'GatedRepo') {
    return new HubError('forbidden', `${what} is given only to those who accepted its terms`, {
      where,
      fix: 'accept them on its page, and put a token of that account in HF_TOKEN',
    });
  }
  if (code === 'RevisionNotFound') {
    return new HubError('not-found', `there is no such revision of ${what}`, {
      where,
      fix: 'name a branch, a tag or a commit',
    });
  }
  if (status === 404 || code === 'RepoNotFound' || code === 'EntryNotFound') {
    const fix = code === 'RepoNotFound' || status === 401 ? ', and that your token may see it' : '';
    return new HubError('not-found', `there is no ${what.replace(/^the /, '')} here`, {
      where,
      fix: `check the name${fix}`,
    });
  }
  if (status === 401 || status === 403) {
    return new HubError(
      'forbidden',
      client.token === undefined
        ? `${what} is not given without a token`
        : `${what} is not given to this token (HTTP ${status})`,
      { where, fix: 'put a token in HF_TOKEN whose account may read it' },
    );
  }
  if (status === 429 || status === 408 || status >= 500) {
    const pauseMs = retryAfterMs(headers.get('retry-after'));
    const message = status === 429 ? 'the server asks for fewer requests' : `the server failed with HTTP ${status}`;
    if (pauseMs !== undefined && pauseMs > hubLimits.maxRetryAfterMs) {
      const fix = `come back in ${Math.ceil(pauseMs / 60_000)} minutes`;
      return new HubError(status === 429 ? 'limited' : 'server', message, { where, fix });
    }
    return new PassingFailure(status === 429 ? 'limited' : 'server', message, where, pauseMs);
  }
  return new HubError('untrue', `the server answers HTTP ${status}, which this protocol does not know`, {
    where,
    fix: 'check the endpoint',
  });
}

/** Seconds, or a date. */
export function retryAfterMs(header: string | null, now = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
