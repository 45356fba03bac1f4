import { memorySource } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import type { Checkpoint } from '../checkpoint/load-checkpoint.js';
import { memoryStore } from '../checkpoint/memory-store.case.js';
import { expandedLogits } from '../decoder/expanded-logits.case.js';
import { createTokenizer } from '../tokenizer/create-tokenizer.js';
import { loadTokenizer } from '../tokenizer/load-tokenizer.js';
import { ggufFixture, ggufMetadata, ggufReference } from './gguf.case.js';
import { Metadata } from './metadata.js';
import { openGguf } from './open-gguf.js';
import { readTokenizer } from './tokenizer-files.js';

const open = (name: string): Promise<Checkpoint> => openGguf(memorySource(`${name}.gguf`, ggufFixture(name)));

describe.each(Object.entries(ggufReference.decoders))('%s', (name, { ids, logits: expected }) => {
  it('computes the logits that llama.cpp computes', async () => {
    const checkpoint = await open(name);
    const { config, weights } = checkpoint;
    const logits = await expandedLogits(config, (name) => weights.readF32(name), ids);
    const { vocabSize } = config;
    for (const [at, row] of Object.entries(expected)) {
      const ours = logits.subarray(Number(at) * vocabSize, (Number(at) + 1) * vocabSize);
      expect(row.length).toBe(vocabSize);
      // f32 in another order of summation, on logits of up to about 20.
      expect(Math.max(...row.map((x, i) => Math.abs(x - ours[i]!)))).toBeLessThan(2e-4);
    }
    await weights.close();
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

describe('tokenizer', () => {
  it.each(Object.entries(ggufReference.tokenized))('cuts text as llama.cpp does with `%s`', async (pre, expected) => {
    const metadata = (await ggufMetadata('llama')).set('tokenizer.ggml.pre', pre);
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
    const metadata = (await ggufMetadata('llama')).set('tokenizer.ggml.add_bos_token', true);
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
    const metadata = (await ggufMetadata('llama')).set(key, value);
    expect(() => readTokenizer(new Metadata(metadata, 'x'))).toThrow(sentence);
  });
});
