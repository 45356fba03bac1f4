import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from './run-cli.js';

const fixture = fileURLToPath(
  new URL('../../../packages/models/src/gguf/fixtures/llama.gguf', import.meta.url),
);
const smollm2 = fileURLToPath(
  new URL('../../../../shared/models/smollm2-135m-instruct.Q4_1.gguf', import.meta.url),
);

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'edgedesk-gguf-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('a GGUF file as MODEL', () => {
  it('is inspected', async () => {
    const { code, stdout } = await runCli(['inspect', fixture, '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      kind: 'checkpoint',
      name: 'llama',
      dtype: 'F32',
      bitsPerWeight: 32,
      config: { modelType: 'llama', vocabSize: 464, layerCount: 2 },
      files: [{ path: 'llama.gguf', sizeBytes: readFileSync(fixture).length }],
    });
  });

  it('is compressed, and both are chatted with and evaluated alike', async () => {
    const out = join(root, 'f32');
    const compressed = await runCli(['compress', fixture, '--bits', '32', '--out', out, '--json']);
    expect([compressed.code, JSON.parse(compressed.stdout)]).toMatchObject([0, { name: 'llama', out }]);
    const rows = join(root, 'rows.jsonl');
    writeFileSync(
      rows,
      '{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello there"}]}\n',
    );
    const answers = [];
    const scores = [];
    for (const model of [fixture, out]) {
      const chat = await runCli(['chat', model, '--new', '8', '--json'], 'Where is it?\n');
      expect(chat.code).toBe(0);
      answers.push(chat.stdout);
      const report = await runCli(['eval', model, '--data', rows, '--no-speed', '--json']);
      expect([report.code, report.stderr]).toEqual([0, expect.any(String)]);
      scores.push((JSON.parse(report.stdout) as { data: unknown[] }).data);
    }
    expect(answers[0]).toBe(answers[1]);
    expect(scores[0]).toEqual(scores[1]);
  });

  it('cut off is refused in one sentence, and nothing is written', async () => {
    const cut = join(root, 'cut.gguf');
    writeFileSync(cut, readFileSync(fixture).subarray(0, 50_000));
    const out = join(root, 'none');
    const { code, stderr } = await runCli(['compress', cut, '--bits', '4', '--out', out]);
    expect([code, existsSync(out)]).toEqual([1, false]);
    expect(stderr).toMatch(
      /cut\.gguf: the tensor `[^`]+` ends at byte \d+ of a file of 50000; copy or download .*\.\n$/,
    );
  });
});

describe.skipIf(!existsSync(smollm2))('SmolLM2 (skipped: ../shared/models is not here)', () => {
  it('says what llama.cpp says at full precision', async () => {
    const { code, stdout } = await runCli(
      ['chat', smollm2, '--new', '64'],
      'Write a haiku about the sea.\nWhat is 17 plus 25?\n',
    );
    expect(code).toBe(0);
    // Greedy replies of llama-cpp-python 0.3.36 with this file's weights converted to F32, one a line.
    expect(stdout).toBe(
      'The waves of the sea, a silent beauty, A gentle lapping of the shore, ' +
        "A reminder of the beauty that lies beneath, A reminder of the ocean's power.\n17 + 25 = 32.\n",
    );
  });
});
