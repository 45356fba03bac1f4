import { readFileSync } from 'node:fs';
import type { Hono } from 'hono';

/** Everything the built-in page loads; nothing comes from elsewhere, so it works offline. */
const files = {
  '/': { file: 'index.html', type: 'text/html; charset=utf-8' },
  '/page/chat.css': { file: 'chat.css', type: 'text/css; charset=utf-8' },
  '/page/chat.js': { file: 'chat.js', type: 'text/javascript; charset=utf-8' },
} as const;

const headers = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
};

/** Serves the built-in chat page from `assets/`, read once. */
export function servePage(app: Hono): void {
  for (const [path, { file, type }] of Object.entries(files)) {
    const body = readFileSync(new URL(`../assets/${file}`, import.meta.url), 'utf8');
    app.get(path, (c) => c.body(body, 200, { ...headers, 'content-type': type }));
  }
}
