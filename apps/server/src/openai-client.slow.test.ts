import OpenAI from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import { BigramEngine } from './bigram-engine.case.js';
import { startServer } from './start-server.js';
import type { RunningServer, ServerOptions } from './start-server.js';

let server: RunningServer | undefined;
afterEach(async () => {
  await server?.stop(0);
  server = undefined;
});

async function start(engine = new BigramEngine(), options: ServerOptions = {}) {
  server = await startServer(engine, { port: 0, ...options });
  const openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: options.apiKey ?? 'none', maxRetries: 0 });
  return { openai, engine, server };
}

const ask = { model: 'bigram', messages: [{ role: 'user' as const, content: '您' }] };

async function settled(condition: () => boolean) {
  for (let i = 0; i < 400 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(condition()).toBe(true);
}

describe("OpenAI's client", () => {
  it('gets the same reply whole and streamed, with usage', async () => {
    const { openai } = await start();
    const whole = await openai.chat.completions.create({ ...ask, max_tokens: 30 });
    const stream = await openai.chat.completions.create({
      ...ask,
      max_tokens: 30,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    const reasons = new Set<string | null | undefined>();
    for await (const event of stream) {
      text += event.choices[0]?.delta.content ?? '';
      usage = event.usage;
      reasons.add(event.choices[0]?.finish_reason);
    }
    expect(text).not.toBe('');
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(usage).toEqual(whole.usage);
    expect(reasons).toContain(whole.choices[0]?.finish_reason);
  });

  it('samples by seed and stops before a stop sequence', async () => {
    const { openai } = await start();
    const sample = async (seed: number) => {
      const reply = await openai.chat.completions.create({ ...ask, temperature: 2, seed, max_tokens: 60 });
      return reply.choices[0]?.message.content;
    };
    expect(await sample(1)).toBe(await sample(1));
    expect(new Set([await sample(1), await sample(2), await sample(3)]).size).toBeGreaterThan(1);
    const whole = await openai.chat.completions.create({ ...ask, max_tokens: 20 });
    const text = whole.choices[0]?.message.content ?? '';
    const stop = text.slice(5, 7);
    const cut = await openai.chat.completions.create({ ...ask, max_tokens: 20, stop });
    expect(cut.choices[0]?.message.content).toBe(text.slice(0, text.indexOf(stop)));
    expect(cut.choices[0]?.finish_reason).toBe('stop');
  });

  it('lists models and reads errors', async () => {
    const { openai } = await start();
    const ids: string[] = [];
    for await (const model of openai.models.list()) ids.push(model.id);
    expect(ids).toEqual(['bigram']);
    expect((await openai.models.retrieve('bigram')).object).toBe('model');
    await expect(openai.chat.completions.create({ ...ask, model: 'other' })).rejects.toThrow(
      OpenAI.NotFoundError,
    );
    await expect(openai.chat.completions.create({ ...ask, n: 3 })).rejects.toThrow(/only 1 reply/);
    await server?.stop();
    await expect(openai.models.list()).rejects.toThrow(OpenAI.APIConnectionError);
  });

  it('is told of a wrong key', async () => {
    const { server } = await start(new BigramEngine(), { apiKey: 'right' });
    const openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'wrong', maxRetries: 0 });
    await expect(openai.models.list()).rejects.toThrow(OpenAI.AuthenticationError);
  });

  it('cancels a reply by leaving, streamed, whole and while waiting', async () => {
    const { openai, engine } = await start(new BigramEngine({ endless: true, tokenMs: 5 }), { running: 1 });
    const stream = await openai.chat.completions.create({ ...ask, stream: true });
    for await (const event of stream) if (event.choices[0]?.delta.content !== '') break;
    await settled(() => engine.running === 0);
    expect(engine.cancelled).toBe(1);

    const controllers = [new AbortController(), new AbortController()];
    const whole = controllers.map(({ signal }) => openai.chat.completions.create(ask, { signal }));
    const outcomes = Promise.allSettled(whole);
    await settled(() => engine.running === 1);
    controllers.reverse().forEach((controller) => controller.abort());
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await settled(() => engine.running === 0);
    const after = await openai.chat.completions.create({ ...ask, max_tokens: 3 });
    expect(after.usage?.completion_tokens).toBe(3);
  });

  it('reads the rest of its reply while the server stops, and nobody new is served', async () => {
    const { openai, server } = await start(new BigramEngine({ endless: true, tokenMs: 5 }));
    const stream = await openai.chat.completions.create({ ...ask, stream: true, max_tokens: 40 });
    let tokens = 0;
    let stopped: Promise<void> | undefined;
    let finish: string | null | undefined;
    for await (const event of stream) {
      tokens++;
      stopped ??= server.stop(10_000);
      finish = event.choices[0]?.finish_reason ?? finish;
    }
    await stopped;
    expect(tokens).toBeGreaterThan(10);
    expect(finish).toBe('length');
    await expect(openai.models.list()).rejects.toThrow(OpenAI.APIConnectionError);
  });

  it('is told when the server stops before its reply is ready', async () => {
    const { openai, server, engine } = await start(new BigramEngine({ endless: true, tokenMs: 5 }));
    const stream = await openai.chat.completions.create({ ...ask, stream: true, max_tokens: 4000 });
    const reading = (async () => {
      for await (const event of stream) void event;
    })();
    await settled(() => engine.running === 1);
    await Promise.all([expect(reading).rejects.toThrow('The server stopped.'), server.stop(50)]);
    expect(engine.running).toBe(0);
  });
});

describe('startServer', () => {
  it('says in one sentence that a port is taken', async () => {
    const { server } = await start();
    await expect(startServer(new BigramEngine(), { port: server.port })).rejects.toMatchObject({
      sentence: `127.0.0.1:${server.port}: the port is in use; choose another with --port.`,
    });
  });

  it('ends every turn: after many requests nothing runs or waits', async () => {
    const { server } = await start();
    const body = JSON.stringify({ messages: ask.messages, max_tokens: 1 });
    const post = async () => {
      const response = await fetch(`${server.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      expect(response.status).toBe(200);
      await response.text();
    };
    for (let i = 0; i < 300; i++) await post();
    const health = (await (await fetch(`${server.url}/health`)).json()) as object;
    expect(health).toEqual({ status: 'ok', model: 'bigram', running: 0, waiting: 0 });
  });
});
