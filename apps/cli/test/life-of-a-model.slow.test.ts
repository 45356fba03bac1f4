import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { outcomeOf, printed, runCli, startCli } from './run-cli.js';

let root: string;
const place = (name: string) => join(root, name);

const recipe = (steps: number) => `
name: smoke
model: { hiddenSize: 32, intermediateSize: 64, layerCount: 2, headCount: 4, kvHeadCount: 2, contextLength: 256 }
tokenizer:
  train: { vocabSize: 400 }
sequence: 64
batch: 2
budget: { steps: ${steps} }
optimizer: { lr: 1e-3 }
data:
  - name: all
    sources:
      - { files: [rows.jsonl], weight: 1 }
`;

const questions = [
  ['Where is my order?', 'track_order', 'en'],
  ['I want my money back', 'refund', 'en'],
  ['我的订单在哪里？', 'track_order', 'zh'],
  ['怎么退货？', 'return', 'zh'],
  ['Tell me a joke', 'oos', 'en'],
];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'edgedesk-life-'));
  const rows = questions.map(([text, intent, lang]) => JSON.stringify({ text, intent, lang }));
  writeFileSync(place('rows.jsonl'), `${rows.join('\n')}\n`);
  writeFileSync(place('recipe.yaml'), recipe(12));
  const trained = await runCli(['train', place('recipe.yaml'), '--out', place('run'), '--json']);
  expect([trained.code, trained.stderr]).toEqual([0, expect.stringContaining('smoke: ')]);
  expect(JSON.parse(trained.stdout)).toMatchObject({ outcome: 'done', modelDir: place('run/model') });
  for (const bits of ['32', '8', '4']) {
    const args = ['compress', place('run/model'), '--bits', bits, '--out', place(`int${bits}`), '--json'];
    const { code, stdout } = await runCli(args);
    expect([code, Object.keys(JSON.parse(stdout) as object)]).toEqual([
      0,
      ['name', 'out', 'sizeBytes', 'parameters', 'bitsPerWeight'],
    ]);
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('train', () => {
  it('stops with a checkpoint on Ctrl-C and goes on with --resume', async () => {
    writeFileSync(place('long.yaml'), recipe(100_000));
    const child = startCli(['train', place('long.yaml'), '--out', place('long')]);
    const outcome = outcomeOf(child);
    await printed(child, 'stderr', /smoke: /);
    await new Promise((resolve) => setTimeout(resolve, 500));
    child.kill('SIGINT');
    expect(await outcome).toMatchObject({
      code: 130,
      stdout: '',
      stderr: expect.stringMatching(/go on with --resume\.\n$/),
    });
    writeFileSync(place('long.yaml'), recipe(100_000).replace('lr: 1e-3', 'lr: 2e-3'));
    const changed = await runCli(['train', place('long.yaml'), '--out', place('long'), '--resume']);
    expect([changed.code, changed.stderr]).toEqual([1, expect.stringMatching(/chang/)]);
  });
});

describe('inspect', () => {
  it('has fixed JSON keys and counts every weight', async () => {
    const { code, stdout, stderr } = await runCli(['inspect', place('int4'), '--json']);
    expect([code, stderr]).toEqual([0, '']);
    const inspection = JSON.parse(stdout) as Record<string, unknown> & {
      parameters: number;
      groups: { parameters: number }[];
    };
    expect(Object.keys(inspection)).toEqual([
      'kind',
      'name',
      'sizeBytes',
      'parameters',
      'bitsPerWeight',
      'config',
      'quantization',
      'groups',
      'provenance',
      'files',
      'verified',
    ]);
    expect(inspection.groups.reduce((sum, group) => sum + group.parameters, 0)).toBe(inspection.parameters);
    expect(inspection.verified).toBe(true);
  });

  it('writes JSON beside the table, and knows checkpoints', async () => {
    const { code, stdout } = await runCli([
      'inspect',
      place('run/model'),
      '--json',
      place('inspection.json'),
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/kind +checkpoint/);
    const read = JSON.parse(readFileSync(place('inspection.json'), 'utf8')) as object;
    expect(read).toMatchObject({ kind: 'checkpoint', parameters: expect.any(Number) as number });
  });
});

describe('eval and bench', () => {
  it('report under the fixed keys, a checkpoint as the base', async () => {
    const temporary = place('temporary');
    mkdirSync(temporary);
    const args = ['--base', place('run/model'), '--data', place('rows.jsonl'), '--limit', '3'];
    const { code, stdout, stderr } = await runCli(
      ['eval', place('int8'), ...args, '--json', '--report', place('r.html')],
      '',
      { TMPDIR: temporary },
    );
    expect([code, stderr]).toEqual([0, expect.stringContaining('at 32 bits to a temporary folder')]);
    const report = JSON.parse(stdout) as { data: Record<string, object>[]; speed: object };
    expect(report).toMatchObject({
      name: 'int8',
      sizeBytes: expect.any(Number) as number,
      parameters: expect.any(Number) as number,
      bitsPerWeight: expect.any(Number) as number,
    });
    expect(report.data[0]).toMatchObject({ file: place('rows.jsonl'), rows: 3 });
    for (const metric of ['perplexity', 'klDivergence', 'top1Agreement', 'intentAccuracy']) {
      expect(report.data[0]?.metrics).toHaveProperty(metric);
    }
    expect(report.data[0]?.kept).toHaveProperty('perplexity');
    expect(Object.keys(report.speed)).toEqual(
      expect.arrayContaining(['ttftMs', 'prefillTokensPerSecond', 'decodeTokensPerSecond', 'peakRssBytes']),
    );
    expect(readFileSync(place('r.html'), 'utf8')).toMatch(/^<!doctype html>/);
    expect(readdirSync(temporary).filter((name) => name.startsWith('edgedesk-'))).toEqual([]);
  });

  it('bench prints speed, and the same as JSON', async () => {
    const short = ['--prompt', '20', '--new', '8', '--repeats', '1'];
    const { code, stdout } = await runCli(['bench', place('int4'), ...short, '--json', place('speed.json')]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/decode +\d+ tokens\/s/);
    const { speed } = JSON.parse(readFileSync(place('speed.json'), 'utf8')) as {
      speed: { peakRssBytes: number };
    };
    expect(speed.peakRssBytes).toBeGreaterThan(1e7);
    const { code: tooLong, stderr } = await runCli(['bench', place('int4'), '--prompt', '9999']);
    expect([tooLong, stderr]).toEqual([
      1,
      expect.stringMatching(/^[^\n]*exceed the context of 256[^\n]*\n$/),
    ]);
  });
});

describe('chat from a pipe', () => {
  const input = 'Where is my order?\n\n我的订单在哪里？\r\nWhere is my order?';

  it('answers line by line, each line on its own', async () => {
    const { code, stdout, stderr } = await runCli(['chat', place('int4'), '--new', '12'], input);
    expect([code, stderr]).toEqual([0, '']);
    const lines = stdout.split('\n');
    expect(lines).toHaveLength(5);
    expect(lines[1]).toBe('');
    expect(lines[3]).toBe(lines[0]);
  });

  it('as JSON, with history, and with a line that does not fit', async () => {
    const long = 'order '.repeat(2000);
    const args = ['chat', place('int4'), '--new', '4', '--json', '--keep-history'];
    const { code, stdout, stderr } = await runCli(args, `Hello\n${long}\nAgain`);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^line 2: the message has \d+ tokens[^\n]*\n$/),
    ]);
    const answers = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(answers.map(({ question }) => question)).toEqual(['Hello', long.trim(), 'Again']);
    expect(Object.keys(answers[0]!)).toEqual([
      'question',
      'answer',
      'finishReason',
      'promptTokens',
      'newTokens',
    ]);
    expect(answers[2]!.promptTokens).toBeGreaterThan(answers[0]!.promptTokens as number);
  });

  it('ends with 130 on Ctrl-C, writing or waiting', async () => {
    for (const questions of ['Hello\n'.repeat(2000), 'Hello\n']) {
      const child = startCli(['chat', place('int4')]);
      const outcome = outcomeOf(child);
      child.stdin.write(questions);
      await printed(child, 'stdout', /\n/);
      child.kill('SIGINT');
      expect(await outcome).toMatchObject({ code: 130, stderr: '' });
    }
  });

  it('ends quietly when nobody reads its answers', async () => {
    const child = startCli(['chat', place('int4'), '--new', '4']);
    const ended = new Promise<[number | null, string]>((resolve) => {
      let stderr = '';
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      child.once('exit', (code) => resolve([code, stderr]));
    });
    child.stdin.on('error', () => undefined);
    child.stdin.write('Hello\n');
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.stdout.destroy();
    for (let i = 0; i < 50 && child.exitCode === null; i++) {
      child.stdin.write('Hello\n');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(await ended).toEqual([0, '']);
  });
});

describe('tour', () => {
  it('compares, reports and ends by itself, in both languages', async () => {
    const args = [
      'tour',
      '--model',
      place('run/model'),
      '--out',
      place('tour'),
      '--rows',
      '1',
      '--lang',
      'zh',
    ];
    const { code, stdout } = await runCli(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/INT4 .*\n/);
    expect(stdout).toContain('以后对话');
    expect(readdirSync(place('tour')).sort()).toEqual([
      'model-fp32',
      'model-int4',
      'model-int8',
      'report.html',
      'report.json',
    ]);
    expect(readFileSync(place('tour/report.html'), 'utf8')).toContain('<html lang="zh-CN">');
    const reports = JSON.parse(readFileSync(place('tour/report.json'), 'utf8')) as { name: string }[];
    expect(reports.map(({ name }) => name)).toEqual(['FP32', 'INT8', 'INT4']);
  });
});
