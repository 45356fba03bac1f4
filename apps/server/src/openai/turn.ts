import type { Admission } from '../admission.js';
import { ApiError } from './api-error.js';

export interface TurnContext {
  readonly admission: Admission;
  /** From arrival to the last token. */
  readonly requestMs: number;
  /** Requests being answered; a stop that has waited long enough aborts them. */
  readonly active: Set<AbortController>;
  /** Aborts when the client goes away. */
  readonly client: AbortSignal;
}

/** The right to generate, until `end`. The signal's reason is always an `ApiError`. */
export interface Turn {
  readonly signal: AbortSignal;
  abort(reason: ApiError): void;
  end(): void;
}

export function clientGone(): ApiError {
  return new ApiError(500, 'server_error', 'The client went away.', { code: 'cancelled' });
}

/** Waits for a turn. Ends early, rejecting, when the client goes away, time runs out or the server stops. */
export async function takeTurn({ admission, requestMs, active, client }: TurnContext): Promise<Turn> {
  const controller = new AbortController();
  const onClient = () => controller.abort(clientGone());
  const timer = setTimeout(() => {
    const headers = { 'x-should-retry': 'false' };
    const message = `The reply took longer than ${requestMs / 1000} s.`;
    controller.abort(new ApiError(504, 'server_error', message, { code: 'timeout', headers }));
  }, requestMs);
  client.addEventListener('abort', onClient, { once: true });
  if (client.aborted) onClient();
  active.add(controller);
  const release = () => {
    clearTimeout(timer);
    client.removeEventListener('abort', onClient);
    active.delete(controller);
  };
  try {
    const leave = await admission.enter(controller.signal);
    return {
      signal: controller.signal,
      abort: (reason) => controller.abort(reason),
      end: () => {
        release();
        leave();
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}
