import { readFileSync } from 'node:fs';
import { memorySource } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import type { DecoderConfig } from '../config.js';
import { createTokenizer } from '../tokenizer/create-tokenizer.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { addedToken, type StageJson, type TokenizerJson } from '../tokenizer/tokenizer-json.js';
import { architectureReference, ggufFixture, ggufMetadata } from './gguf.case.js';
import { Metadata } from './metadata.js';
import { openGguf } from './open-gguf.js';
import type { GgufValue } from './read-metadata.js';
import { readTokenizer } from './tokenizer-files.js';
import { tokenizerMetadata } from './tokenizer-metadata.js';
import { tokenType } from './tokenizer-parts.js';

/** Without ends: those of one fixture are other tokens in the next. */
const config: DecoderConfig = {
  ...(await openGguf(memorySource('gemma3.gguf', ggufFixture('gemma3')))).config,
  vocabSize: 448,
  eosTokenIds: [],
  padTokenId: null,
};
const texts = [
  ...architectureReference.texts,
  '您好，请问我的订单 12345 在哪里？  谢谢！',
  "I'd like a refund😀👨‍👩‍👧, please…",
  '      six spaces, then\ttab\n\n\nthree ends ',
  ' ',
  '<unk><s></s><0x41>',
];

/** The tokenizer of a fixture as published ones are: specials are in the vocabulary, and an unknown token is named. */
async function published(fixture: string, changes: Partial<TokenizerJson> = {}): Promise<TokenizerJson> {
  const { json } = readTokenizer(new Metadata(await ggufMetadata(fixture), fixture));
  const vocab = { ...json.model.vocab, ...Object.fromEntries(json.added_tokens.map(({ content, id }) => [content, id])) };
  return {
    ...json,
    // Llama 2's order: cuts of one token lie together, but not longest first.
    model: { ...json.model, vocab, unk_token: '<unk>', fuse_unk: true, merges: rotatedGroups(json.model.merges) },
    added_tokens: json.added_tokens.map((token) => ({ ...token, rstrip: false })),
    ...changes,
  };
}

function rotatedGroups(merges: TokenizerJson['model']['merges']): [string, string][] {
  const groups = new Map<string, [string, string][]>();
  for (const merge of merges) {
    const [left, right] = merge as [string, string];
    groups.set(left + right, [[left, right], ...(groups.get(left + right) ?? [])]);
  }
  return [...groups.values()].flat();
}

function written(json: TokenizerJson, name = 'tiny') {
  const files = new Map([['tokenizer.json', JSON.stringify(json)]]);
  const { entries, modelName } = tokenizerMetadata(files, config, name);
  const values = new Map<string, GgufValue>([
    ...entries.map(([key, , value]) => [key, value as GgufValue] as const),
    ['general.name', modelName],
  ]);
  return { values, modelName };
}

const readBack = (values: Map<string, GgufValue>): Tokenizer =>
  createTokenizer({ json: readTokenizer(new Metadata(values, 'x')).json });

const replace: StageJson = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
const withoutStrip: StageJson = {
  type: 'Sequence',
  decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }],
};
const metaspace = (scheme: string): Partial<TokenizerJson> => ({
  normalizer: null,
  pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: scheme, split: false },
});

describe('a SentencePiece tokenizer, written and read again', () => {
  it.each<[string, string, Partial<TokenizerJson>]>([
    ['Llama 2', 'phi3', {}],
    ['Gemma', 'gemma3', { pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false } }],
    ['one that adds no space', 'phi3', { ...metaspace('never'), decoder: withoutStrip }],
  ])('gives the same ids: %s', async (_, fixture, changes) => {
    const json = await published(fixture, changes);
    const original = createTokenizer({ json });
    const copy = readBack(written(json).values);
    for (const text of texts) {
      for (const allowSpecial of [false, true]) {
        expect(copy.encode(text, { allowSpecial }), text).toEqual(original.encode(text, { allowSpecial }));
      }
      expect(copy.decode(copy.encode(text))).toBe(original.decode(original.encode(text)));
    }
  });

  it('gives the same ids of text without special tokens where only the first word gets a space', async () => {
    const json = await published('phi3', metaspace('first'));
    const original = createTokenizer({ json });
    const copy = readBack(written(json).values);
    for (const text of texts) if (!/^ |<note>/.test(text)) expect(copy.encode(text), text).toEqual(original.encode(text));
  });

  it('finds runs of spaces that are tokens of their own, as Gemma has them', async () => {
    const json = await published('gemma3');
    const id = json.added_tokens.find(({ content }) => content === '  ')!.id;
    // None of Gemma's other tokens contain such a run.
    const kept = (token: string): boolean => !token.includes('▁▁') && token !== '  ';
    const vocab = Object.fromEntries(Object.entries(json.model.vocab).filter(([token]) => kept(token)));
    const merges = json.model.merges.filter(([left, right]) => kept(left! + right!));
    const added = json.added_tokens.map((token) => (token.id === id ? addedToken(id, '▁▁', false) : token));
    const model = { ...json.model, vocab: { ...vocab, '▁▁': id }, merges: [['▁', '▁'] as const, ...rotatedGroups(merges)] };
    const gemma = { ...json, model, added_tokens: added };
    const original = createTokenizer({ json: gemma });
    const { values } = written(gemma);
    expect((values.get('tokenizer.ggml.tokens') as string[])[id]).toBe('  ');
    const copy = readBack(values);
    for (const text of [...texts, 'a  b   c    d']) expect(copy.encode(text), text).toEqual(original.encode(text));
    expect(copy.encode('a  b')).toContain(id);
  });

  it('has a type and a score for every token, the first merge the best', async () => {
    const json = await published('phi3');
    const { values } = written(json);
    const tokens = values.get('tokenizer.ggml.tokens') as string[];
    const types = values.get('tokenizer.ggml.token_type') as Int32Array;
    const scores = values.get('tokenizer.ggml.scores') as Float32Array;
    const typeOf = (token: string): number => types[tokens.indexOf(token)]!;
    const { unknown, control, userDefined, byte, unused, normal } = tokenType;
    const named = ['<unk>', '<s>', '<note>', '<0x00>', '<0xFF>', '[PAD447]', '▁'];
    expect(named.map(typeOf)).toEqual([unknown, control, userDefined, byte, byte, unused, normal]);
    const made = [...new Set(json.model.merges.map((merge) => (merge as [string, string]).join('')))];
    expect(made.map((token) => scores[tokens.indexOf(token)])).toEqual(made.map((_, i) => 0 - i));
    expect([...values.keys()].slice(0, 7).map((key) => key.replace('tokenizer.ggml.', ''))).toEqual([
      'model', 'pre', 'tokens', 'scores', 'token_type', 'add_space_prefix', 'add_bos_token',
    ]); // prettier-ignore
    expect(values.get('tokenizer.ggml.add_space_prefix')).toBe(true);
    expect(values.get('tokenizer.ggml.add_bos_token')).toBe(true);
  });

  it('gives tokens whose merges lie among each other one score', async () => {
    const json = await published('phi3');
    const merges = json.model.merges as [string, string][];
    const at = merges.findIndex(([l, r], i) => i > 0 && l + r === merges[i - 1]!.join(''));
    const moved = [...merges.slice(0, at), ...merges.slice(at + 1, at + 2), merges[at]!, ...merges.slice(at + 2)];
    const { values } = written({ ...json, model: { ...json.model, merges: moved } });
    const tokens = values.get('tokenizer.ggml.tokens') as string[];
    const scores = values.get('tokenizer.ggml.scores') as Float32Array;
    const scoreOf = (merge: [string, string]): number => scores[tokens.indexOf(merge.join(''))]!;
    expect(scoreOf(merges[at]!)).toBe(scoreOf(merges[at + 1]!));
  });

  it('is named after Phi-3 where its special tokens swallow spaces', async () => {
    const { json } = readTokenizer(new Metadata(await ggufMetadata('phi3'), 'x'));
    expect(written(json).modelName).toBe('tiny (Phi-3)');
    expect(written(json, 'my-phi3').modelName).toBe('my-phi3');
    expect(written(await published('phi3')).modelName).toBe('tiny');
    const copy = readBack(written(json).values);
    expect(copy.encode('<|end|>  \n Hi', { allowSpecial: true })).toEqual(
      createTokenizer({ json }).encode('<|end|>  \n Hi', { allowSpecial: true }),
    );
  });
});

describe('refuses in one sentence', () => {
  const withAdded = (json: TokenizerJson, change: Partial<TokenizerJson['added_tokens'][number]>): TokenizerJson => ({
    ...json,
    added_tokens: json.added_tokens.map((token, i) => (i === 1 ? { ...token, ...change } : token)),
  });
  const without = (json: TokenizerJson, token: string): TokenizerJson => {
    const vocab = Object.fromEntries(Object.entries(json.model.vocab).filter(([text]) => text !== token));
    const merges = json.model.merges.filter(([left, right]) => ![left, right, left! + right!].includes(token));
    return { ...json, model: { ...json.model, vocab, merges } };
  };
  it.each<[string, (json: TokenizerJson) => TokenizerJson, RegExp]>([
    ['a missing merge', (j) => ({ ...j, model: { ...j.model, merges: j.model.merges.slice(1) } }), /where this tokenizer has no merge/],
    ['a character that stays bytes', (j) => without(j, 'o'), /where this tokenizer has no merge/],
    ['a missing byte', (j) => without(j, '<0x0A>'), /no token <0x0A> for bytes/],
    ['another normalizer', (j) => ({ ...j, normalizer: { type: 'Sequence', normalizers: [{ type: 'NFKC' }, replace] } }), /prepares text/],
    ['words apart', (j) => ({ ...j, ...metaspace('first'), pre_tokenizer: { type: 'Metaspace', replacement: '▁', split: true } }), /prepares text/],
    ['tokens that swallow spaces', (j) => withAdded(j, { rstrip: true }), /does not know that "<s>" swallows/],
    ['tokens that swallow spaces before them', (j) => withAdded(j, { lstrip: true }), /in other places/],
  ])('%s', async (_, change, sentence) => {
    const json = await published('phi3');
    expect(() => written(change(json))).toThrow(sentence);
  });

  it('a name that llama.cpp takes for Phi-3', async () => {
    const json = await published('phi3');
    expect(() => written(json, 'not-phi-3')).toThrow(/takes a model of this name for Phi-3.*/);
  });

  it('a vocabulary that was not made by SentencePiece', () => {
    const url = new URL('../tokenizer/fixtures/llama-style.json', import.meta.url);
    const json = JSON.parse(readFileSync(url, 'utf8')) as TokenizerJson;
    const files = new Map([['tokenizer.json', JSON.stringify(json)]]);
    expect(() => tokenizerMetadata(files, { ...config, vocabSize: 704 }, 'x')).toThrow(/does not come from SentencePiece/);
  });
});
