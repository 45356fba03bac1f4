import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { ApiError } from '../openai/api-error.js';

/** Asks for `Authorization: Bearer KEY`. Digests are compared, so that time tells nothing about the key. */
export function apiKeyGuard(key: string): MiddlewareHandler {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  const wanted = digest(key);
  return async (c, next) => {
    const given = /^Bearer (.+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
    if (given === undefined || !timingSafeEqual(digest(given), wanted)) {
      throw new ApiError(401, 'invalid_request_error', 'The API key is missing or wrong.', {
        code: 'invalid_api_key',
        headers: { 'www-authenticate': 'Bearer' },
      });
    }
    await next();
  };
}
