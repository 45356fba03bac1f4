import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { outcomeOf, printed, runCli, startCli } from './run-cli.js';
import type { Outcome } from './run-cli.js';
import { tinyConfig, writeTinyCheckpoint } from './tiny-checkpoint.js';

let root: string;
const artefact = () => join(root, 'tiny');
let child: ChildProcessWithoutNullStreams | undefined;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'edgedesk-serve-'));
  // No end token that random weights could stumble on: replies are as long as asked for.
  await writeTinyCheckpoint(join(root, 'checkpoint'), {
    ...tinyConfig,
    contextLength: 4096,
    eosTokenIds: [],
  });
  await runCli(['compress', join(root, 'checkpoint'), '--bits', '4', '--out', artefact()]);
});
afterEach(() => child?.kill('SIGKILL'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function serve(...args: string[]): Promise<{ openai: OpenAI; url: string; outcome: Promise<Outcome> }> {
  child = startCli(['serve', artefact(), '--port', '0', '--json', ...args]);
  const outcome = outcomeOf(child);
  const [line] = await printed(child, 'stdout', /^.*\n/);
  const { url } = JSON.parse(line) as { url: string };
  return { url, outcome, openai: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 }) };
}

const ask = { model: 'checkpoint', messages: [{ role: 'user' as const, content: 'Where is my order?' }] };

describe('serve', () => {
  it("answers OpenAI's client, whole and streamed alike, several at once", async () => {
    const { openai } = await serve();
    const models = await openai.models.list();
    expect(models.data.map(({ id }) => id)).toEqual(['checkpoint']);
    const whole = await openai.chat.completions.create({ ...ask, max_tokens: 40 });
    expect(whole.usage).toMatchObject({ completion_tokens: 40 });
    const streams = await Promise.all(
      [1, 2, 3].map(async () => {
        let text = '';
        const stream = await openai.chat.completions.create({ ...ask, max_tokens: 40, stream: true });
        for await (const event of stream) text += event.choices[0]?.delta.content ?? '';
        return text;
      }),
    );
    expect(new Set(streams)).toEqual(new Set([whole.choices[0]?.message.content]));
  });

  it('samples by seed, and refuses what does not fit', async () => {
    const { openai } = await serve();
    const sample = async (seed: number) =>
      (await openai.chat.completions.create({ ...ask, temperature: 1, seed, max_tokens: 16 })).choices[0]
        ?.message.content;
    expect(await sample(7)).toBe(await sample(7));
    expect(await sample(7)).not.toBe(await sample(8));
    const messages = [{ role: 'user' as const, content: 'order '.repeat(9000) }];
    await expect(openai.chat.completions.create({ ...ask, messages })).rejects.toMatchObject({
      status: 400,
      code: 'context_length_exceeded',
    });
  });

  it('lets a client go and serves the next', async () => {
    const { openai, url } = await serve('--parallel', '1');
    const controller = new AbortController();
    const left = openai.chat.completions.create({ ...ask, max_tokens: 3000 }, { signal: controller.signal });
    setTimeout(() => controller.abort(), 200);
    await expect(left).rejects.toThrow();
    const next = await openai.chat.completions.create({ ...ask, max_tokens: 3 });
    expect(next.usage?.completion_tokens).toBe(3);
    expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ running: 0, waiting: 0 });
  });

  it('finishes running replies on SIGTERM and then ends with 0', async () => {
    const { openai, outcome } = await serve();
    const stream = await openai.chat.completions.create({ ...ask, max_tokens: 600, stream: true });
    let stopped = false;
    let finish: string | null | undefined;
    for await (const event of stream) {
      if (!stopped) stopped = child!.kill('SIGTERM');
      finish = event.choices[0]?.finish_reason ?? finish;
    }
    expect(finish).toBe('length');
    expect(await outcome).toMatchObject({ code: 0, stderr: expect.stringMatching(/^Stopping: [^\n]+\n$/) });
  });

  it('ends with 130 on Ctrl-C', async () => {
    const { outcome } = await serve();
    child!.kill('SIGINT');
    expect((await outcome).code).toBe(130);
  });

  it.each([50, 150, 300, 500])('ends with 130 on Ctrl-C %i ms after its start', async (delayMs) => {
    child = startCli(['serve', artefact(), '--port', '0']);
    const outcome = outcomeOf(child);
    // Before Node has come to our first line the signal has its own effect.
    await new Promise((resolve) => setTimeout(resolve, 400 + delayMs));
    child.kill('SIGINT');
    const { code, stderr } = await outcome;
    expect([130, null]).toContain(code);
    expect(stderr).not.toContain('terminate');
  });

  it('asks for the key from the environment, and warns when it is open to the network', async () => {
    child = startCli(['serve', artefact(), '--port', '0', '--json', '--host', '0.0.0.0'], {
      EDGEDESK_API_KEY: 'sesame',
    });
    const [line] = await printed(child, 'stdout', /^.*\n/);
    const port = new URL((JSON.parse(line) as { url: string }).url).port;
    const models = (apiKey: string) =>
      new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey, maxRetries: 0 }).models.list();
    await expect(models('wrong')).rejects.toThrow(OpenAI.AuthenticationError);
    expect((await models('sesame')).data).toHaveLength(1);
  });
});
