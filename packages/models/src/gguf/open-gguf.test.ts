import { memorySource, tensor, type Tensor, type Value, DifferentiableGraph, encodeModel } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { describe, expect, it } from 'vitest';
import type { Checkpoint } from '../checkpoint/load-checkpoint.js';
import { memoryStore } from '../checkpoint/memory-store.case.js';
import { weightShapes } from '../config.js';
import { decoder } from '../decoder/decoder.js';
import { expandLowering, logitsHead } from '../decoder/expand.js';
import { createTokenizer } from '../tokenizer/create-tokenizer.js';
import { loadTokenizer } from '../tokenizer/load-tokenizer.js';
import { ggufFixture, ggufReference } from './gguf.case.js';
import { HeaderCursor } from './header-cursor.js';
import { Metadata } from './metadata.js';
import { openGguf } from './open-gguf.js';
import { type GgufValue, readMetadata } from './read-metadata.js';
import { readTokenizer } from './tokenizer-files.js';

const open = (name: string): Promise<Checkpoint> => openGguf(memorySource(`${name}.gguf`, ggufFixture(name)));

async function logitsOf({ config, weights }: Checkpoint, ids: readonly number[]): Promise<Float32Array> {
  const g = new DifferentiableGraph();
  const feeds: Record<string, Tensor> = {
    token_ids: tensor.i64(ids, [ids.length]),
    segment_ids: tensor.i64(new Array<number>(ids.length).fill(0), [1, ids.length]),
  };
  const values = new Map<string, Value>();
  for (const [name, shape] of weightShapes(config)) {
    values.set(name, g.input(name, 'f32', shape));
    feeds[name] = tensor.f32(await weights.readF32(name), shape);
  }
  const lowering = expandLowering(g, config, {
    batch: 1,
    seq: ids.length,
    tokenIds: g.input('token_ids', 'i64', [ids.length]),
    segmentIds: g.input('segment_ids', 'i64', [1, ids.length]),
    weight: (name) => values.get(name)!,
    head: logitsHead(g),
  });
  g.output(decoder(config, lowering), 'logits');
  const session = await nodeBackend().createSession(encodeModel(g), { threads: 1 });
  const { logits } = await session.run(feeds);
  await session.release();
  return logits!.data as Float32Array;
}

describe.each(Object.entries(ggufReference.decoders))('%s', (name, { ids, logits: expected }) => {
  it('computes the logits that llama.cpp computes', async () => {
    const checkpoint = await open(name);
    const logits = await logitsOf(checkpoint, ids);
    const { vocabSize } = checkpoint.config;
    for (const [at, row] of Object.entries(expected)) {
      const ours = logits.subarray(Number(at) * vocabSize, (Number(at) + 1) * vocabSize);
      expect(row.length).toBe(vocabSize);
      // f32 in another order of summation, on logits of up to about 20.
      expect(Math.max(...row.map((x, i) => Math.abs(x - ours[i]!)))).toBeLessThan(2e-4);
    }
    await checkpoint.weights.close();
  });
});

describe('configuration', () => {
  it('is that of the model', async () => {
    const { config, generation } = await open('qwen3');
    expect(config).toEqual({
      modelType: 'qwen3',
      vocabSize: 464,
      hiddenSize: 16,
      intermediateSize: 24,
      layerCount: 2,
      headCount: 4,
      kvHeadCount: 2,
      headDim: 8,
      contextLength: 64,
      ropeTheta: 50000,
      normEpsilon: 1e-5,
      tiedEmbedding: true,
      qkvBias: false,
      qkNorm: true,
      bosTokenId: 1,
      eosTokenIds: [2, 0],
      padTokenId: 0,
    });
    expect(generation).toEqual({ bos_token_id: 1, eos_token_id: [2, 0], pad_token_id: 0 });
    expect((await open('qwen2')).config).toMatchObject({ tiedEmbedding: false, qkvBias: true, headDim: 8 });
  });
});

async function metadataOf(name: string): Promise<Map<string, GgufValue>> {
  const cursor = new HeaderCursor(memorySource(name, ggufFixture(name)));
  await cursor.need(24);
  cursor.bytes(16);
  return readMetadata(cursor, cursor.u64());
}

describe('tokenizer', () => {
  it.each(Object.entries(ggufReference.tokenized))('cuts text as llama.cpp does with `%s`', async (pre, expected) => {
    const metadata = (await metadataOf('llama')).set('tokenizer.ggml.pre', pre);
    const { json } = readTokenizer(new Metadata(metadata, pre));
    const tokenizer = createTokenizer({ json });
    ggufReference.texts.forEach((text, i) => {
      // Where the model's own tokenizer composes characters and llama.cpp does not, both agree on composed ones.
      if (json.normalizer !== null && text !== text.normalize('NFC')) {
        expect(tokenizer.encode(text)).toEqual(tokenizer.encode(text.normalize('NFC')));
        return;
      }
      expect(tokenizer.encode(text)).toEqual(expected[i]!.plain);
      expect(tokenizer.encode(text, { allowSpecial: true })).toEqual(expected[i]!.special);
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    });
  });

  it('speaks by the chat template and is the same from its files', async () => {
    const { tokenizer, tokenizerFiles } = await open('llama');
    const messages = [{ role: 'user', content: 'Hi <|im_end|>' }] as const;
    const { ids } = tokenizer.encodeChat(messages, { addGenerationPrompt: true });
    expect([ids[0], ids.filter((id) => id === 2).length, ids.filter((id) => id === 1).length]).toEqual([1, 1, 2]);
    const again = await loadTokenizer(memoryStore(Object.fromEntries(tokenizerFiles)));
    expect(again.encodeChat(messages, { addGenerationPrompt: true }).ids).toEqual(ids);
    expect(again.vocabSize).toBe(tokenizer.vocabSize);
  });

  it('begins texts with the token that the file asks for', async () => {
    const metadata = (await metadataOf('llama')).set('tokenizer.ggml.add_bos_token', true);
    expect(readTokenizer(new Metadata(metadata, 'x')).json.post_processor).toMatchObject({
      type: 'TemplateProcessing',
      special_tokens: { '<|im_start|>': { ids: [1] } },
    });
  });

  it.each([
    ['tokenizer.ggml.model', 't5', /kind `t5`; only byte-level BPE/],
    ['tokenizer.ggml.model', 'llama', /`tokenizer.ggml.scores` is missing/],
    ['tokenizer.ggml.pre', 'klingon', /the pre-tokenizer `klingon` is not supported/],
    ['tokenizer.ggml.token_type', Int32Array.of(1), /1 token types for 464 tokens/],
    ['tokenizer.ggml.tokens', ['a', 'a'], /token types for 2 tokens/],
    ['tokenizer.ggml.merges', 7, /`tokenizer.ggml.merges` is not a list of texts/],
  ] as const)('refuses %s = %s', async (key, value, sentence) => {
    const metadata = (await metadataOf('llama')).set(key, value);
    expect(() => readTokenizer(new Metadata(metadata, 'x'))).toThrow(sentence);
  });
});
