import { describe, expect, it } from 'vitest';
import { runCli } from './run-cli.js';

const commands = ['train', 'compress', 'export', 'eval', 'bench', 'chat', 'serve', 'inspect', 'tour'];

describe('help', () => {
  it('of the program lists every command and the exit codes', async () => {
    const { code, stdout, stderr } = await runCli(['--help']);
    expect([code, stderr]).toEqual([0, '']);
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
    expect(stdout).toContain('Exit codes');
  });

  it.each(commands)('of %s has examples', async (command) => {
    const { code, stdout, stderr } = await runCli([command, '--help']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain(`Examples:\n  edgedesk ${command}`);
  });
});

describe('wrong usage exits with 2 and says why', () => {
  it.each([
    [['dance'], /unknown command 'dance'/],
    [['chat', 'x', '--loud'], /unknown option '--loud'/],
    [['chat'], /missing required argument 'model'/],
    [['compress', 'x', '--bits', '4'], /required option '--out <folder>'/],
    [['export', 'x', '--format', 'onnx', '--out', 'y'], /Allowed choices are gguf, gptq/],
    [['eval', 'x'], /required option '--data/],
    [['serve', 'x', '--port', '99999'], /whole number from 0 to 65535/],
    [['chat', 'x', '--temperature', 'hot'], /number from 0 to 2/],
    [['chat', 'x', '--lang', 'fr'], /Allowed choices are en, zh/],
    [['inspect', 'x', 'y', 'z'], /too many arguments/],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await runCli(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});
