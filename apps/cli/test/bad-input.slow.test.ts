import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from './run-cli.js';
import { writeTinyCheckpoint } from './tiny-checkpoint.js';

let root: string;
const place = (name: string) => join(root, name);

/** A copy of the good checkpoint that `spoil` has changed. */
function spoilt(name: string, spoil: (folder: string) => void): string {
  cpSync(place('good'), place(name), { recursive: true });
  spoil(place(name));
  return place(name);
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'edgedesk-bad-'));
  await writeTinyCheckpoint(place('good'));
  const { code, stderr } = await runCli([
    'compress',
    place('good'),
    '--bits',
    '4',
    '--out',
    place('artefact'),
  ]);
  expect([code, stderr]).toEqual([0, expect.stringContaining('bits a weight')]);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Exit 1, one sentence, no stack, nothing on stdout, nothing written. */
async function refuses(args: readonly string[], sentence: RegExp) {
  const before = readdirSync(root).sort();
  const { code, stdout, stderr } = await runCli(args);
  expect(stderr).toMatch(sentence);
  expect(stderr).toMatch(/^[^\n]+\.\n$/);
  expect(stderr).not.toMatch(/\bat .*:\d+:\d+/);
  expect([code, stdout]).toEqual([1, '']);
  expect(readdirSync(root).sort()).toEqual(before);
}

describe('a model that cannot be used', () => {
  it.each(['inspect', 'chat', 'bench', 'serve'])('%s: there is no such folder', (command) =>
    refuses([command, place('nowhere')], /nowhere: there is no such folder/),
  );

  it('a file, and a folder of something else', async () => {
    writeFileSync(place('file'), 'x');
    await refuses(['chat', place('file')], /file: this file is no GGUF file/);
    await refuses(['chat', root], /neither edgedesk\.json/);
  });

  const spoils: [string, (folder: string) => void, RegExp][] = [
    ['truncated', (folder) => truncateSync(join(folder, 'model.safetensors'), 5000), /model\.safetensors/],
    ['empty', (folder) => truncateSync(join(folder, 'model.safetensors'), 0), /model\.safetensors/],
    [
      'oversized',
      (folder) =>
        writeFileSync(join(folder, 'model.safetensors'), Buffer.from('ffffffffffffff7f7b7d', 'hex')),
      /model\.safetensors/,
    ],
    [
      'broken-config',
      (folder) => writeFileSync(join(folder, 'config.json'), '{"model_type": "llama",'),
      /config\.json/,
    ],
    [
      'hostile-config',
      (folder) => writeFileSync(join(folder, 'config.json'), `${'['.repeat(100_000)}${']'.repeat(100_000)}`),
      /config\.json/,
    ],
    [
      'huge-numbers',
      (folder) => writeFileSync(join(folder, 'config.json'), '{"model_type":"llama","hidden_size":1e300}'),
      /config\.json/,
    ],
    [
      'other-model',
      (folder) => writeFileSync(join(folder, 'config.json'), '{"model_type":"gpt2"}'),
      /config\.json/,
    ],
    ['no-tokenizer', (folder) => rmSync(join(folder, 'tokenizer.json')), /tokenizer\.json/],
    [
      'hostile-tokenizer',
      (folder) => writeFileSync(join(folder, 'tokenizer.json'), '{"model":{"vocab":7}}'),
      /tokenizer\.json/,
    ],
  ];
  it.each(spoils)('%s', async (name, spoil, sentence) => {
    const folder = spoilt(name, spoil);
    await refuses(['compress', folder, '--bits', '4', '--out', place('never')], sentence);
    await refuses(['inspect', folder, '--json'], sentence);
    expect(existsSync(place('never'))).toBe(false);
  });

  it('an artefact that was changed after it was written', async () => {
    const folder = place('changed');
    cpSync(place('artefact'), folder, { recursive: true });
    appendFileSync(join(folder, 'tokenizer.json'), ' ');
    await refuses(['inspect', folder], /tokenizer\.json: the file has \d+ bytes but the manifest says/);
    writeFileSync(join(folder, 'edgedesk.json'), '{"format": 2}');
    await refuses(['inspect', folder], /edgedesk\.json/);
    await refuses(['chat', folder], /edgedesk\.json/);
  });
});

describe('other input that cannot be used', () => {
  it('bits, groups and an artefact in the place of a checkpoint', async () => {
    const compress = (...rest: string[]) => ['compress', place('good'), '--out', place('never'), ...rest];
    await refuses(
      compress('--bits', '5'),
      /--bits: a weight cannot be given 5 bits; choose one of 32, 16, 8, 4/,
    );
    await refuses(compress('--bits', '4', '--group', '20'), /group/i);
    await refuses(compress('--bits', '16', '--group', '32'), /no groups/);
    await refuses(
      ['compress', place('artefact'), '--bits', '4', '--out', place('never')],
      /an artefact already/,
    );
    await refuses(
      ['compress', place('good'), '--bits', '4', '--out', tmpdir()],
      /did not write|not an artefact/,
    );
  });

  it('data and recipes', async () => {
    writeFileSync(place('bad.jsonl'), '{"text":"a","intent":"b","lang":"en"}\n{"text":');
    writeFileSync(place('odd.jsonl'), '{"colour":"red"}\n');
    writeFileSync(place('bad.yaml'), 'name: [x');
    const data = (file: string) => ['eval', place('artefact'), '--data', file];
    await refuses(data(place('bad.jsonl')), /bad\.jsonl:2/);
    await refuses(data(place('odd.jsonl')), /odd\.jsonl:1/);
    await refuses(data(place('none.jsonl')), /none\.jsonl/);
    await refuses(data(place('good')), /good: this is a folder, not a file of rows/);
    await refuses(['train', place('bad.yaml')], /bad\.yaml/);
    await refuses(['train', place('none.yaml')], /none\.yaml/);
  });

  it('a port that is taken', async () => {
    const blocker = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => blocker.once('listening', resolve));
    const { port } = blocker.address() as AddressInfo;
    await refuses(
      ['serve', place('artefact'), '--port', String(port)],
      /the port is in use; choose another with --port/,
    );
    blocker.close();
  });

  it('a place that cannot be written to', async () => {
    await refuses(
      ['inspect', place('artefact'), '--json', join(place('good'), 'config.json', 'x.json')],
      /config\.json\/x\.json: nothing was written, since a part of the path is a file/,
    );
    if (process.platform === 'linux') {
      await refuses(
        ['inspect', place('artefact'), '--json', '/proc/x/y.json'],
        /^\/proc\/x\/y\.json: nothing was/,
      );
      await refuses(
        ['compress', place('good'), '--bits', '4', '--out', '/proc/x/y'],
        /\/proc\/x\/y: nothing was/,
      );
    }
  });

  it('--debug adds the stack trace', async () => {
    const { code, stderr } = await runCli(['inspect', place('nowhere'), '--debug']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^[^\n]+there is no such folder[^\n]+\.\n/);
    expect(stderr).toMatch(/CheckpointError: .*\n\s+at /);
  });
});
