import type { MiddlewareHandler } from 'hono';
import { ApiError } from '../openai/api-error.js';

const loopbackNames = new Set(['localhost', '127.0.0.1', '[::1]']);

/** True for addresses that only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * On loopback, only requests addressed to this machine by a loopback name are answered. A web page that points its own
 * name at 127.0.0.1 (DNS rebinding) still sends its own name here.
 */
export function hostGuard(boundHost: string): MiddlewareHandler {
  return async (c, next) => {
    if (isLoopback(boundHost)) {
      const name = hostName(c.req.header('host') ?? '');
      if (!loopbackNames.has(name) && name !== boundHost) {
        throw new ApiError(
          403,
          'invalid_request_error',
          `This server does not answer for the host \`${name}\`.`,
        );
      }
    }
    await next();
  };
}

/** A browser names the page that sends a request: another site's page is refused unless `--cors` allows it. */
export function originGuard(allowed: readonly string[]): MiddlewareHandler {
  return async (c, next) => {
    const origin = c.req.header('origin');
    const ownOrigin =
      origin === `http://${c.req.header('host')}` || origin === `https://${c.req.header('host')}`;
    if (origin !== undefined && !ownOrigin && !allowed.includes('*') && !allowed.includes(origin)) {
      const message = `Pages of \`${origin.slice(0, 200)}\` may not use this server; start it with \`--cors ORIGIN\`.`;
      throw new ApiError(403, 'invalid_request_error', message);
    }
    await next();
  };
}

function hostName(host: string): string {
  return host.replace(/:\d+$/, '').toLowerCase().slice(0, 200);
}
