import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StoredLinear } from '@edgedesk/models';
import { openGguf, weightShapes, writeGguf } from '@edgedesk/models';
import { memorySource } from '@edgedesk/tensor';
import { fillFileAtomic } from '@edgedesk/tensor/node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { llamaLibrary } from './llama-library.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'edgedesk-pieces-'));
});
afterAll(() => rm(root, { recursive: true }));

const texts = [
  'Where is my order 12345? It should have been here yesterday.',
  '您好，我的订单 12345 在哪里？谢谢！',
  'Refund, please 😀👨‍👩‍👧 — é n\u0303',
  '  two  spaces\n\n\tand\ttabs   end  ',
  '<start_of_turn>user\nHi<end_of_turn>\n<note> there',
  '<|user|>\nWhere?<|end|>\n<|assistant|> \n Here',
  'a'.repeat(40),
  ' ',
];

it.each(['gemma3', 'phi3'])('llama.cpp cuts text as we do in a %s file that we wrote', async (name) => {
  const fixture = new URL(`../../../../models/src/gguf/fixtures/${name}.gguf`, import.meta.url);
  const source = memorySource(name, Uint8Array.from(await readFile(fixture)));
  const { config, weights, tokenizer, tokenizerFiles } = await openGguf(source);
  const linears = [...weightShapes(config)].flatMap(([weight, [rows, columns]]): [string, StoredLinear][] => {
    if (columns === undefined) return [];
    const layout = { kind: 'dense', storage: 'f32' } as const;
    const shape = [rows!, columns] as const;
    const read = async () => ({ ...layout, shape, weight: await weights.readF32(weight) });
    return [[weight, { shape, format: layout, read }]];
  });
  const stored = {
    config,
    linears: new Map(linears),
    readVector: (weight: string) => weights.readF32(weight),
  };
  const path = join(root, `${name}.gguf`);
  await fillFileAtomic(path, (file) => writeGguf({ name: 'tiny', weights: stored, tokenizerFiles, file }));
  const llama = await llamaLibrary();
  const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
  for (const text of texts) {
    for (const allowSpecial of [false, true]) {
      expect([...model.tokenize(text, allowSpecial)], text).toEqual(tokenizer.encode(text, { allowSpecial }));
    }
  }
  await model.dispose();
});
