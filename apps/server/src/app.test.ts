import { describe, expect, it } from 'vitest';
import { createApp } from './app.js';
import type { AppOptions } from './app.js';
import { BigramEngine } from './bigram-engine.case.js';
import { limits } from './limits.js';

interface Failure {
  error: { message: string; type: string; param: string | null; code: string | null };
}

function client(options: AppOptions = {}, engine = new BigramEngine()) {
  const app = createApp(engine, options);
  return async (path: string, body?: unknown, headers: Record<string, string> = {}) =>
    app.fetch(
      new Request(`http://127.0.0.1:8080${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { host: '127.0.0.1:8080', 'content-type': 'application/json', ...headers },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
    );
}

const messages = [{ role: 'user', content: 'You' }];

describe('requests that cannot be served', () => {
  const cases: [string, unknown, number, RegExp, string | null][] = [
    ['no JSON', '{', 400, /not valid JSON/, null],
    ['a list', [], 400, /The request/, null],
    ['no messages', {}, 400, /`messages`/, 'messages'],
    ['empty messages', { messages: [] }, 400, /at least one/, 'messages'],
    [
      'a wrong role',
      { messages: [{ role: 'robot', content: 'x' }] },
      400,
      /system, developer/,
      'messages[0].role',
    ],
    [
      'an image',
      { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
      400,
      /text parts/,
      'messages[0].content',
    ],
    ['two replies', { messages, n: 2 }, 400, /only 1 reply/, 'n'],
    ['tools', { messages, tools: [{}] }, 400, /tools are not supported/, 'tools'],
    ['heat', { messages, temperature: 9 }, 400, /`temperature`/, 'temperature'],
    ['no tokens', { messages, max_tokens: 0 }, 400, /at least 1/, 'max_tokens'],
    ['many stops', { messages, stop: ['a', 'b', 'c', 'd', 'e'] }, 400, /`stop`/, 'stop'],
    ['another model', { messages, model: 'gpt-4o' }, 404, /has `bigram`/, 'model'],
    [
      'a long text',
      { messages: [{ role: 'user', content: 'a'.repeat(limits.promptCharacters + 1) }] },
      400,
      /more than/,
      'messages',
    ],
    [
      'a full context',
      { messages: [{ role: 'user', content: 'Your'.repeat(1024) }] },
      400,
      /context holds 4096/,
      null,
    ],
    ['a huge body', 'x'.repeat(limits.bodyBytes + 1), 413, /larger than/, null],
  ];
  it.each(cases)('%s', async (_name, body, status, message, param) => {
    const response = await client()('/v1/chat/completions', body);
    const { error } = (await response.json()) as Failure;
    expect(error.message).toMatch(message);
    expect([response.status, error.param, error.type]).toEqual([status, param, 'invalid_request_error']);
  });

  it('an unknown path', async () => {
    const response = await client()('/v1/embeddings', {});
    expect(response.status).toBe(404);
    expect(((await response.json()) as Failure).error.message).toContain('/v1/embeddings');
  });

  it('a failure inside tells the client nothing of this machine', async () => {
    const seen: unknown[] = [];
    const ask = client({ log: (error) => seen.push(error) }, new BigramEngine({ failAt: 2 }));
    const response = await ask('/v1/chat/completions', { messages });
    expect([response.status, response.headers.get('x-should-retry')]).toEqual([500, 'false']);
    expect(await response.text()).not.toContain('/home');
    const stream = await (await ask('/v1/chat/completions', { messages, stream: true })).text();
    expect(stream).toMatch(/data: \{"error":\{"message":"The server failed/);
    expect(stream).not.toContain('/home');
    expect(seen).toHaveLength(2);
  });
});

describe('who may ask', () => {
  it('on loopback only loopback names are answered', async () => {
    const ask = client();
    expect((await ask('/health', undefined, { host: 'evil.example:8080' })).status).toBe(403);
    expect((await ask('/health', undefined, { host: 'localhost:8080' })).status).toBe(200);
    expect((await client({ host: '0.0.0.0' })('/health', undefined, { host: 'kiosk:8080' })).status).toBe(
      200,
    );
  });

  it("another site's page needs --cors", async () => {
    const origin = { origin: 'https://shop.example' };
    expect((await client()('/v1/models', undefined, origin)).status).toBe(403);
    const allowed = await client({ cors: ['https://shop.example'] })('/v1/models', undefined, origin);
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://shop.example');
    const own = await client()('/v1/models', undefined, { origin: 'http://127.0.0.1:8080' });
    expect([own.status, own.headers.get('access-control-allow-origin')]).toEqual([200, null]);
  });

  it('a plain form post is refused', async () => {
    const response = await client()('/v1/chat/completions', { messages }, { 'content-type': 'text/plain' });
    expect(response.status).toBe(415);
  });

  it('the API key guards the API and not the page', async () => {
    const ask = client({ apiKey: 'k1' });
    expect((await ask('/v1/models')).status).toBe(401);
    expect((await ask('/v1/models', undefined, { authorization: 'Bearer k2' })).status).toBe(401);
    expect((await ask('/v1/models', undefined, { authorization: 'Bearer k1' })).status).toBe(200);
    expect((await ask('/')).status).toBe(200);
    expect((await ask('/health')).status).toBe(200);
  });
});

describe('replies', () => {
  it('whole, with usage', async () => {
    const response = await client()('/v1/chat/completions', {
      messages,
      max_completion_tokens: 5,
      max_tokens: 9,
    });
    const body = (await response.json()) as { choices: unknown[]; usage: object };
    expect(body.choices[0]).toMatchObject({ finish_reason: 'length', message: { role: 'assistant' } });
    expect(body.usage).toMatchObject({ prompt_tokens: 4, completion_tokens: 5, total_tokens: 9 });
  });

  it('plain completions, whole and streamed, agree', async () => {
    const ask = client();
    const whole = (await (await ask('/v1/completions', { prompt: 'pa', max_tokens: 8 })).json()) as {
      choices: { text: string }[];
    };
    const stream = await (
      await ask('/v1/completions', { prompt: ['pa'], max_tokens: 8, stream: true })
    ).text();
    const pieces = [...stream.matchAll(/"text":"([^"]*)"/g)].map((match) => match[1]).join('');
    expect(pieces).toBe(whole.choices[0]?.text);
    expect(stream.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('a reply that takes too long is ended with a 504', async () => {
    const engine = new BigramEngine({ endless: true, tokenMs: 5 });
    const response = await client({ requestMs: 60 }, engine)('/v1/chat/completions', { messages });
    expect(response.status).toBe(504);
    expect([engine.running, engine.cancelled]).toEqual([0, 1]);
  });

  it('no more replies at once than allowed, and the surplus is told when to return', async () => {
    const engine = new BigramEngine({ tokenMs: 5 });
    const ask = client({ running: 2, waiting: 1 }, engine);
    const body = { messages, max_tokens: 5 };
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => ask('/v1/chat/completions', body)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 429, 429]);
    expect(answers.find(({ status }) => status === 429)?.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(engine.mostRunning).toBe(2);
  });
});
