import { memorySource } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import type { Checkpoint } from '../checkpoint/load-checkpoint.js';
import { memoryStore } from '../checkpoint/memory-store.case.js';
import type { DecoderConfig } from '../config.js';
import { expandedLogits } from '../decoder/expanded-logits.case.js';
import { createTokenizer } from '../tokenizer/create-tokenizer.js';
import { loadTokenizer } from '../tokenizer/load-tokenizer.js';
import { architectureReference as reference, ggufFixture, ggufMetadata } from './gguf.case.js';
import { Metadata } from './metadata.js';
import { openGguf } from './open-gguf.js';
import type { GgufValue } from './read-metadata.js';
import { readTokenizer } from './tokenizer-files.js';

const open = (name: string): Promise<Checkpoint> => openGguf(memorySource(`${name}.gguf`, ggufFixture(name)));

async function worst(config: DecoderConfig, checkpoint: Checkpoint, expected: typeof reference.long): Promise<number> {
  const logits = await expandedLogits(config, (name) => checkpoint.weights.readF32(name), expected.ids);
  const differences = Object.entries(expected.logits).flatMap(([at, row]) =>
    row.map((x, i) => Math.abs(x - logits[Number(at) * config.vocabSize + i]!)),
  );
  return Math.max(...differences);
}

describe('logits', () => {
  it.each([
    ['phi3', 2e-4],
    ['llama31', 2e-4],
    // llama.cpp looks GELU up in a table of binary16.
    ['gemma3', 3e-2],
  ])('of %s are those of llama.cpp', async (name, tolerance) => {
    const checkpoint = await open(name);
    expect(await worst(checkpoint.config, checkpoint, reference.decoders[name]!)).toBeLessThan(tolerance);
    await checkpoint.weights.close();
  });

  it('of phi3 take the other factors in a longer text', async () => {
    const checkpoint = await open('phi3');
    const { config } = checkpoint;
    const { ropeScaling: scaling } = config;
    if (scaling?.kind !== 'longrope') throw new Error('phi3 is stretched by lists of factors');
    // The text is shorter than the first context; llama.cpp decides by the context that it was asked for.
    const long = { ...config, ropeScaling: { ...scaling, originalContext: 11 } };
    expect(await worst(long, checkpoint, reference.long)).toBeLessThan(2e-4);
    expect(await worst(config, checkpoint, reference.long)).toBeGreaterThan(0.01);
    await checkpoint.weights.close();
  });
});

describe('configurations', () => {
  it('are those of the metadata', async () => {
    expect((await open('gemma3')).config).toMatchObject({
      modelType: 'gemma3_text',
      headDim: 8,
      ropeTheta: 1000,
      ropeScaling: { kind: 'linear', factor: 8 },
      local: { window: 4, layers: [true, true, true, true, true, false], ropeTheta: 10_000 },
      embeddingScale: 4,
      tiedEmbedding: true,
    });
    expect((await open('phi3')).config).toMatchObject({
      modelType: 'phi3',
      rotaryDim: 6,
      ropeScaling: { kind: 'longrope', shortFactors: [1, 1.25, 2], originalContext: 256, magnitude: 1.125 },
      tiedEmbedding: false,
    });
  });
});

describe.each(Object.entries(reference.tokenized))('the tokenizer of %s', (name, expected) => {
  it('gives the ids of llama.cpp, and the text back', async () => {
    const { tokenizer, weights } = await open(name);
    reference.texts.forEach((text, i) => {
      expect(tokenizer.encode(text), text).toEqual(expected[i]!.plain);
      expect(tokenizer.encode(text, { allowSpecial: true }), text).toEqual(expected[i]!.special);
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      const stream = tokenizer.streamDecoder();
      const streamed = tokenizer.encode(text).map((id) => stream.push([id]));
      expect(streamed.join('') + stream.end()).toBe(tokenizer.decode(tokenizer.encode(text)));
    });
    await weights.close();
  });

  it('is the same from its files', async () => {
    const { tokenizer, tokenizerFiles, weights } = await open(name);
    const again = await loadTokenizer(memoryStore(Object.fromEntries(tokenizerFiles)));
    for (const text of reference.texts) expect(again.encode(text)).toEqual(tokenizer.encode(text));
    await weights.close();
  });
});

describe('a SentencePiece vocabulary', () => {
  it.each<[string, GgufValue | undefined, RegExp]>([
    ['tokenizer.ggml.scores', undefined, /`tokenizer.ggml.scores` is missing/],
    ['tokenizer.ggml.scores', Float32Array.of(1), /1 scores for 416 tokens/],
    ['tokenizer.ggml.scores', 'x', /is not a list of 32-bit reals/],
    ['tokenizer.ggml.token_type', Int32Array.of(1), /1 token types for 416 tokens/],
  ])('is refused by its %s', async (key, value, sentence) => {
    const metadata = await ggufMetadata('gemma3');
    if (value === undefined) metadata.delete(key);
    else metadata.set(key, value);
    expect(() => readTokenizer(new Metadata(metadata, 'x'))).toThrow(sentence);
  });

  it('needs a token for every byte', async () => {
    const metadata = await ggufMetadata('gemma3');
    const tokens = (metadata.get('tokenizer.ggml.tokens') as string[]).map((token) => (token === '<0x41>' ? 'A!' : token));
    metadata.set('tokenizer.ggml.tokens', tokens);
    expect(() => readTokenizer(new Metadata(metadata, 'x'))).toThrow(/no token <0x41> for bytes/);
  });

  it('turns no text into a control token', async () => {
    const { tokenizer, weights } = await open('gemma3');
    const ids = tokenizer.encode('<start_of_turn><bos><0x41>');
    const control = ['<start_of_turn>', '<bos>', '<0x41>'].map((token) => tokenizer.idOf(token));
    expect(ids.filter((id) => control.includes(id))).toEqual([]);
    await weights.close();
  });
});

it('cuts text as GPT-4o does', async () => {
  const metadata = await ggufMetadata('llama');
  const { json } = readTokenizer(new Metadata(metadata.set('tokenizer.ggml.pre', 'gpt-4o'), 'x'));
  const tokenizer = createTokenizer({ json });
  const { texts, tokenized } = reference.gpt4o;
  texts.forEach((text, i) => expect(tokenizer.encode(text), text).toEqual(tokenized[i]!.plain));
});
