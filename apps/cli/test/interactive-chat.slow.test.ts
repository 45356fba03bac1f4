import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { loadEngine } from '@edgedesk/runtime';
import type { Engine } from '@edgedesk/runtime';
import { nodeBackend, openFolder } from '@edgedesk/tensor/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Conversation } from '../src/chat/conversation.js';
import { chatInteractively } from '../src/chat/interactive.js';
import { chatTexts } from '../src/chat/texts.js';
import { runCli } from './run-cli.js';
import { tinyConfig, writeTinyCheckpoint } from './tiny-checkpoint.js';

let root: string;
let engine: Engine;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'edgedesk-chat-'));
  await writeTinyCheckpoint(join(root, 'checkpoint'), { ...tinyConfig, eosTokenIds: [] });
  await runCli(['compress', join(root, 'checkpoint'), '--bits', '4', '--out', join(root, 'tiny')]);
  const folder = join(root, 'tiny');
  engine = await loadEngine({
    store: openFolder(folder),
    backend: nodeBackend(),
    externalData: join(folder, 'onnx'),
  });
});
afterAll(async () => {
  await engine.close();
  rmSync(root, { recursive: true, force: true });
});

/** Types the lines one after another, each when the prompt stands there again. */
async function talk(lines: readonly string[], language: 'en' | 'zh'): Promise<string> {
  const input = new PassThrough();
  const output = new PassThrough();
  const waiting = [...lines];
  const { you } = chatTexts[language];
  let shown = '';
  output.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
    if (!text.endsWith(you)) return;
    const line = waiting.shift();
    if (line === undefined) input.end();
    else input.write(`${line}\n`);
  });
  await chatInteractively(engine, { maxNewTokens: 8 }, language, { input, output });
  return shown;
}

describe('chatInteractively', () => {
  it('knows its commands and ends with /quit', async () => {
    const shown = await talk(
      ['/help', '/dance', '/system Be brief.', '/system', '/reset', 'Hello', '/quit', 'never'],
      'en',
    );
    const { help, unknown, systemSet, systemRemoved, forgotten, cut, bye } = chatTexts.en;
    for (const text of [help, unknown('/dance'), systemSet, systemRemoved, forgotten, cut, bye]) {
      expect(shown).toContain(text);
    }
    expect(shown.split(chatTexts.en.you)).toHaveLength(8);
  });

  it('speaks Chinese and ends with the input', async () => {
    const shown = await talk(['/帮助', '你好'], 'zh');
    expect(shown).toContain(chatTexts.zh.unknown('/帮助'));
    expect(shown.trimEnd().endsWith(chatTexts.zh.bye)).toBe(true);
  });
});

describe('Conversation', () => {
  it('forgets the oldest exchange when the context is full, never the system message', async () => {
    const conversation = new Conversation(engine, { system: 'Be brief.', maxNewTokens: 20 });
    const prompts: number[] = [];
    for (let turn = 0; turn < 12; turn++) {
      prompts.push((await conversation.ask('Where is my order?', () => undefined)).promptTokens);
    }
    expect(prompts[1]).toBeGreaterThan(prompts[0]!);
    expect(Math.max(...prompts)).toBeLessThanOrEqual(tinyConfig.contextLength - 20);
    expect(prompts.at(-1)).toBeGreaterThan(prompts[0]!);
  });

  it('keeps what came of a cancelled reply', async () => {
    const conversation = new Conversation(engine, { maxNewTokens: 100 });
    const controller = new AbortController();
    const first = await conversation.ask('Hello', () => controller.abort(), controller.signal);
    expect(first.reason).toBe('cancelled');
    expect(first.newTokens).toBeLessThan(100);
    const second = await conversation.ask('Hello', () => undefined);
    expect(second.promptTokens).toBeGreaterThan(first.promptTokens);
  });
});
