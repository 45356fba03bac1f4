import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from './run-cli.js';
import { writeTinyCheckpoint } from './tiny-checkpoint.js';

let root: string;
const at = (name: string): string => join(root, name);
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'edgedesk-export-'));
  await writeTinyCheckpoint(at('base'));
  const { code } = await runCli(['compress', at('base'), '--bits', '4', '--out', at('int4')]);
  expect(code).toBe(0);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('edgedesk export', () => {
  it('writes a GGUF file that chats as the checkpoint does, and may be written again', async () => {
    const args = ['export', at('base'), '--format', 'gguf', '--out', at('base.gguf'), '--json'];
    const { code, stdout } = await runCli(args);
    expect([code, JSON.parse(stdout)]).toMatchObject([
      0,
      { name: 'base', format: 'gguf', out: at('base.gguf'), sizeBytes: statSync(at('base.gguf')).size },
    ]);
    expect((await runCli(args)).code).toBe(0);
    const replies = [];
    for (const model of [at('base'), at('base.gguf')]) {
      replies.push((await runCli(['chat', model, '--new', '12', '--json'], 'Where is my order?\n')).stdout);
    }
    expect(replies[0]).toBe(replies[1]);
  });

  it('writes the quantized values of an artefact', async () => {
    const { code, stdout } = await runCli([
      'export',
      at('int4'),
      '--format',
      'gguf',
      '--out',
      at('int4.gguf'),
    ]);
    expect([code, stdout]).toEqual([
      0,
      `${at('int4.gguf')}: try it with \`llama-cli -m ${at('int4.gguf')}\`.\n`,
    ]);
    const inspected = await runCli(['inspect', at('int4.gguf'), '--json']);
    expect(JSON.parse(inspected.stdout)).toMatchObject({ dtype: 'Q4_0, F32, Q8_0' });
    const gptq = await runCli(['export', at('int4'), '--format', 'gptq', '--out', at('gptq'), '--json']);
    expect(gptq.code).toBe(0);
    expect(JSON.parse(readFileSync(join(at('gptq'), 'config.json'), 'utf8'))).toMatchObject({
      quantization_config: { quant_method: 'gptq', bits: 4, group_size: 32, desc_act: false, sym: true },
    });
  });

  it.each<[string, string[], RegExp]>([
    ['a checkpoint as GPTQ', ['base', 'gptq', 'none'], /its layers are not quantized.*; compress it first/],
    [
      'over a file of somebody else',
      ['base', 'gguf', 'mine.gguf'],
      /a file that EdgeDesk did not write; choose/,
    ],
    ['over a folder', ['base', 'gguf', 'int4'], /there is a folder of this name; name a file/],
    ['nothing', ['absent', 'gguf', 'none'], /there is no such folder or file/],
  ])('refuses %s in one sentence', async (_, [model, format, out], expected) => {
    writeFileSync(at('mine.gguf'), 'mine');
    const { code, stderr } = await runCli(['export', at(model!), '--format', format!, '--out', at(out!)]);
    expect([code, existsSync(at('none'))]).toEqual([1, false]);
    expect(stderr).toMatch(expected);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(readFileSync(at('mine.gguf'), 'utf8')).toBe('mine');
  });

  it('refuses a damaged artefact and leaves nothing behind', async () => {
    await runCli(['compress', at('base'), '--bits', '8', '--out', at('damaged')]);
    const data = join(at('damaged'), 'onnx/model_quantized.onnx_data');
    const bytes = readFileSync(data);
    bytes[100]! ^= 1;
    writeFileSync(data, bytes);
    const { code, stderr } = await runCli(['export', at('damaged'), '--format', 'gguf', '--out', at('none')]);
    expect([code, existsSync(at('none'))]).toEqual([1, false]);
    expect(stderr).toMatch(/SHA-256 is not the manifest's; copy or download the artefact again/);
  });
});
