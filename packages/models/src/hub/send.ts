import { HubError } from '@edgedesk/tensor';
import type { HubClient, HubResponse } from './client.js';
import { PassingFailure } from './failure.js';
import { hubLimits } from './limits.js';

/** An answer, its redirects followed. Whoever got it reads it or closes it. */
export interface Exchange {
  readonly status: number;
  readonly headers: HubResponse['headers'];
  readonly origin: string;
  /** The body, once; PassingFailure when it stalls or is cut. */
  read(): AsyncIterable<Uint8Array>;
  close(): void;
}

export interface SendOptions {
  /** Further headers, by whom they go to. */
  readonly headersFor?: (origin: string) => Readonly<Record<string, string>>;
  /** Whether a redirect tells enough not to be followed. */
  readonly enough?: (headers: HubResponse['headers']) => boolean;
}

const redirects = new Set([301, 302, 303, 307, 308]);

/**
 * One request. The token goes to the endpoint's origin only, whatever it redirects to, and nothing goes from https to
 * http unless the endpoint itself is http. PassingFailure when the network fails, HubError when a redirect is refused.
 */
export async function send(
  client: HubClient,
  method: 'GET' | 'HEAD',
  address: string,
  { headersFor, enough }: SendOptions = {},
): Promise<Exchange> {
  const home = new URL(client.endpoint);
  let url = new URL(address);
  for (let hop = 0; hop <= hubLimits.maxRedirects; hop++) {
    const headers: Record<string, string> = {
      // A compressed answer has neither the size nor the ranges of the file.
      'accept-encoding': 'identity',
      'user-agent': 'edgedesk',
      ...headersFor?.(url.origin),
    };
    if (client.token !== undefined && url.origin === home.origin) headers['authorization'] = `Bearer ${client.token}`;
    const exchange = await sendOnce(client, method, url, headers);
    if (!redirects.has(exchange.status) || enough?.(exchange.headers) === true) return exchange;
    exchange.close();
    url = target(url, exchange.headers.get('location'), home);
  }
  throw new HubError('refused', `the server redirects more than ${hubLimits.maxRedirects} times`, {
    where: address,
    fix: 'check the endpoint',
  });
}

function target(from: URL, location: string | null, home: URL): URL {
  const refuse = (why: string): never => {
    throw new HubError('refused', why, { where: from.host, fix: 'check the endpoint' });
  };
  let to: URL;
  try {
    to = new URL(location ?? '', from);
  } catch {
    return refuse('the server redirects to what is no address');
  }
  if (location === null) return refuse('the server redirects without saying where to');
  if (to.protocol !== 'https:' && (to.protocol !== 'http:' || home.protocol !== 'http:')) {
    return refuse(`the server redirects to ${to.protocol}//${to.host}, which is not encrypted`);
  }
  return to;
}

async function sendOnce(
  client: HubClient,
  method: 'GET' | 'HEAD',
  url: URL,
  headers: Readonly<Record<string, string>>,
): Promise<Exchange> {
  const { signal, timing } = client;
  const where = url.host;
  signal?.throwIfAborted();
  const controller = new AbortController();
  const pass = (): void => controller.abort(signal?.reason);
  signal?.addEventListener('abort', pass, { once: true });
  const close = (): void => {
    signal?.removeEventListener('abort', pass);
    controller.abort();
  };
  /** Waits for the network; whatever goes wrong closes the exchange. */
  const wait = async <T>(work: Promise<T>, ms: number, failed: (error: unknown) => PassingFailure): Promise<T> => {
    try {
      return await within(work, ms, where, signal);
    } catch (error) {
      close();
      signal?.throwIfAborted();
      throw error instanceof PassingFailure ? error : failed(error);
    }
  };
  const request = client.fetch(url.href, { method, headers, redirect: 'manual', signal: controller.signal });
  const response = await wait(request, timing.answerMs, (error) => unreachable(error, where));
  return {
    status: response.status,
    headers: response.headers,
    origin: url.origin,
    close,
    async *read() {
      const reader = response.body?.getReader();
      const cut = (): PassingFailure => new PassingFailure('cut', 'the connection was cut', where);
      try {
        while (reader !== undefined) {
          const { done, value } = await wait(reader.read(), timing.stallMs, cut);
          if (done) return;
          if (value !== undefined) yield value;
        }
      } finally {
        close();
        // Node forgets the signal of a body whose request was collected as garbage; this closes the connection surely.
        reader?.cancel().catch(() => undefined);
      }
    },
  };
}

/** `work`, or a failure when it takes longer than `ms` or is called off. */
function within<T>(work: Promise<T>, ms: number, where: string, signal?: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void =>
      reject(new PassingFailure('stalled', `nothing has come for ${ms / 1000} seconds`, where));
    const stop = (): void => reject(signal?.reason as Error);
    const timer = setTimeout(late, ms);
    signal?.addEventListener('abort', stop, { once: true });
    void work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
    });
  });
}

function unreachable(error: unknown, where: string): PassingFailure {
  const { cause } = error as { cause?: { code?: unknown; message?: unknown } };
  const why = String(cause?.code ?? cause?.message ?? (error as Error).message);
  const fix = 'check the network and the endpoint; --offline takes what the cache holds';
  return new PassingFailure('unreachable', `the server cannot be reached (${why})`, where, undefined, fix);
}
