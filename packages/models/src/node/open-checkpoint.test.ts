import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { weightShapes } from '../config.js';
import { ggufFixture } from '../gguf/gguf.case.js';
import { openCheckpoint } from './open-checkpoint.js';
import { saveCheckpoint } from './save-checkpoint.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'edgedesk-open-'));
});
afterAll(() => rm(root, { recursive: true }));

describe('openCheckpoint', () => {
  it('opens a GGUF file and the folder saved from it alike', async () => {
    const file = join(root, 'Tiny.gguf');
    await writeFile(file, ggufFixture('llama'));
    const fromFile = await openCheckpoint(file);
    expect(fromFile.name).toBe('Tiny');
    const { config, weights, tokenizerFiles, generation } = fromFile;
    await saveCheckpoint(join(root, 'folder'), { config, weights, tokenizerFiles, generation });

    const fromFolder = await openCheckpoint(join(root, 'folder'));
    expect(fromFolder.name).toBe('folder');
    expect(fromFolder.config).toEqual(config);
    expect(fromFolder.generation).toEqual(generation);
    expect(fromFolder.tokenizerFiles).toEqual(tokenizerFiles);
    const text = 'Where is order 123? 你好';
    expect(fromFolder.tokenizer.encode(text)).toEqual(fromFile.tokenizer.encode(text));
    for (const name of weightShapes(config).keys()) {
      expect(await fromFolder.weights.readF32(name)).toEqual(await weights.readF32(name));
    }
    await weights.close();
    await fromFolder.weights.close();
  });

  it.each([
    ['nothing there', 'none', undefined, /no such folder/],
    ['another file', 'notes.txt', 'GGML', /this file is no GGUF file/],
    ['an empty file', 'empty.gguf', '', /this file is no GGUF file/],
  ])('refuses %s', async (_, name, content, sentence) => {
    if (content !== undefined) await writeFile(join(root, name), content);
    await expect(openCheckpoint(join(root, name))).rejects.toThrow(sentence);
  });
});
