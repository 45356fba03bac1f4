import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DecoderConfig, openGguf, weightShapes } from '@edgedesk/models';
import { saveCheckpoint } from '@edgedesk/models/node';
import { openEngine, openLlamaEngine } from '@edgedesk/runtime/node';
import { elementCount, memorySource } from '@edgedesk/tensor';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli } from './run-cli.js';

/** Five local blocks and a global one, as llama.cpp knows Gemma 3. */
const config: DecoderConfig = {
  modelType: 'gemma3_text',
  vocabSize: 416,
  hiddenSize: 64,
  intermediateSize: 96,
  layerCount: 6,
  headCount: 4,
  kvHeadCount: 2,
  headDim: 32,
  contextLength: 128,
  ropeTheta: 10_000,
  normEpsilon: 1e-6,
  tiedEmbedding: true,
  qkvBias: false,
  qkNorm: true,
  local: { window: 8, layers: [true, true, true, true, true, false], ropeTheta: 100 },
  embeddingScale: 8,
  activation: 'gelu',
  outputNorms: true,
  bosTokenId: 2,
  eosTokenIds: [1],
  padTokenId: 0,
};

const template =
  "{{ bos_token }}{% for message in messages %}<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n" +
  '{{ message.content }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}';

let root: string;
const at = (name: string): string => join(root, name);
const fixture = new URL('../../../packages/models/src/gguf/fixtures/gemma3.gguf', import.meta.url);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'edgedesk-gemma-'));
  const { tokenizerFiles, weights } = await openGguf(
    memorySource('gemma3', Uint8Array.from(await readFile(fixture))),
  );
  await weights.close();
  let state = 1;
  const random = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647 - 0.5;
  const values = new Map(
    [...weightShapes(config)].map(([name, shape]) => {
      const norm = shape.length === 1;
      const spread = norm ? 0.4 : 3 / Math.sqrt(shape[1]!);
      return [
        name,
        Float32Array.from({ length: elementCount(shape) }, () => Number(norm) + spread * random()),
      ];
    }),
  );
  await saveCheckpoint(at('base'), {
    config,
    weights: { readF32: (name) => Promise.resolve(values.get(name)!.slice()) },
    tokenizerFiles: new Map(tokenizerFiles).set('chat_template.jinja', template),
  });
  const rows = Array.from({ length: 60 }, (_, i) => ({
    messages: [
      { role: 'user', content: `Where is my order ${i * 7}? 我的订单在哪里？` },
      { role: 'assistant', content: `Order ${i} is on its way. 😀` },
    ],
  }));
  await writeFile(at('chats.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
});
afterAll(() => rm(root, { recursive: true }));

it(
  'a Gemma 3 checkpoint is compressed on text, exported to GGUF and chats in both engines',
  { timeout: 600_000 },
  async () => {
    const calibration = ['--calibration', at('chats.jsonl'), '--calibration-tokens', '512'];
    const compress = [
      'compress',
      at('base'),
      '--bits',
      '4',
      '--method',
      'gptq',
      ...calibration,
      '--out',
      at('int4'),
    ];
    const compressed = await runCli(compress);
    expect([compressed.code, compressed.stderr.includes('Error')], compressed.stderr).toEqual([0, false]);
    const manifest = JSON.parse(await readFile(join(at('int4'), 'edgedesk.json'), 'utf8')) as {
      provenance: { step: string }[];
    };
    expect(manifest.provenance.at(-1)!.step).toBe('gptq');
    const exported = await runCli(['export', at('int4'), '--format', 'gguf', '--out', at('int4.gguf')]);
    expect(exported.code, exported.stderr).toBe(0);

    const ours = await openEngine(at('int4'), { threads: 1 });
    const llama = await openLlamaEngine(at('int4.gguf'), { threads: 1 });
    try {
      const messages = [{ role: 'user' as const, content: 'Where is my order?  我的订单在哪里？😀' }];
      const prompt = ours.encodeChat(messages, { addGenerationPrompt: true });
      expect(llama.encodeChat(messages, { addGenerationPrompt: true })).toEqual(prompt);
      const [expected, found] = [await ours.score(prompt), await llama.score(prompt)];
      // llama.cpp rounds activations to 8 bits and looks GELU up in a table of binary16.
      expected.logProbs.forEach((x, i) => expect(Math.abs(found.logProbs[i]! - x)).toBeLessThan(0.15));
    } finally {
      await llama.close();
      await ours.close();
    }
    for (const args of [['int4'], ['int4.gguf', '--engine', 'llama.cpp']]) {
      const [model, ...engine] = args;
      const chat = await runCli(
        ['chat', at(model!), ...engine, '--new', '8', '--json'],
        'Where is my order?\n',
      );
      expect(chat.code, chat.stderr).toBe(0);
    }
  },
);
