import { readFileSync } from 'node:fs';
import { EdgeDeskError } from '@edgedesk/tensor';
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import { memoryStore, seeded } from '../checkpoint/memory-store.case.js';
import { chatMlSpecialTokens, chatMlTemplate, chatMlTokenizerFiles } from './chatml.js';
import { createTokenizer } from './create-tokenizer.js';
import { loadTokenizer } from './load-tokenizer.js';
import type { TokenizerJson } from './tokenizer-json.js';
import { trainByteLevelBpe } from './train/train-bpe.js';

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`./fixtures/${name}.json`, import.meta.url), 'utf8'));
const byteLevel = fixture('byte-level') as TokenizerJson;
const corpus = fixture('corpus') as string[];
const parity = fixture('parity') as {
  merges: [string, string][];
  texts: string[];
  tables: Record<string, [number[], string][]>;
};

/** A tokenizer.json to be spoiled. */
interface Draft {
  model: { type: string; vocab: Record<string, number>; merges: unknown[] };
  added_tokens: { content: string }[];
  pre_tokenizer: { pretokenizers: { pattern: { Regex?: string } }[] };
  normalizer: unknown;
}

describe('parity with the Rust library (fixtures/make-parity.py)', () => {
  it('trains the same merges, however the texts arrive', async () => {
    const options = { vocabSize: 480, specialTokens: chatMlSpecialTokens };
    const phases = new Set<string>();
    const trained = await trainByteLevelBpe(corpus, options, ({ phase }) => phases.add(phase));
    expect(trained).toEqual(byteLevel);
    expect(trained.model.merges).toEqual(parity.merges);
    expect([...phases]).toEqual(['count', 'merge']);
    async function* streamed() {
      yield* corpus.toReversed();
    }
    expect((await trainByteLevelBpe(streamed(), options)).model).toEqual(trained.model);
  });

  it.each(['byte-level', 'qwen-style', 'llama-style'])('gives the same ids and texts: %s', (name) => {
    const tokenizer = createTokenizer({ json: fixture(name) });
    parity.texts.forEach((text, i) => {
      const [ids, decoded] = parity.tables[name]![i]!;
      expect(tokenizer.encode(text, { allowSpecial: true }), JSON.stringify(text)).toEqual(ids);
      // What was remembered must be what was computed.
      expect(tokenizer.encode(text, { allowSpecial: true })).toEqual(ids);
      expect(tokenizer.decode(ids), JSON.stringify(text)).toBe(decoded);
    });
  });

  it('merges as the npm library does, also beyond the scanned length', () => {
    const library = new (LibraryTokenizer as unknown as new (json: object, config: object) => {
      encode(text: string, options: object): { ids: number[] };
    })(byteLevel, {});
    const tokenizer = createTokenizer({ json: byteLevel });
    const random = seeded(3);
    const letters = [...'returnshipingodye退货运费由我们承担'];
    for (const length of [1, 2, 50, 191, 192, 193, 2000]) {
      const text = Array.from({ length }, () => letters[Math.floor(random() * letters.length)]).join('');
      expect(tokenizer.encode(text)).toEqual(library.encode(text, { add_special_tokens: false }).ids);
    }
  });
});

describe('a vocabulary that lacks bytes', () => {
  // SmolLM2's has no control characters and none of the bytes that UTF-8 never uses.
  it.each([null, 'a'])('gives the unknown token %j for them, as the npm library does', (unk) => {
    const vocab = Object.fromEntries(
      Object.entries(byteLevel.model.vocab).filter(([token]) => !['Ģ', 'x', 'ë'].includes(token)),
    );
    const merges = byteLevel.model.merges.filter((pair) =>
      [...pair, [...pair].join('')].every((token) => Object.hasOwn(vocab, token)),
    );
    const json = { ...byteLevel, model: { ...byteLevel.model, vocab, merges, unk_token: unk } };
    const library = new (LibraryTokenizer as unknown as new (json: object, config: object) => {
      encode(text: string, options: object): { ids: number[] };
    })(json, {});
    const tokenizer = createTokenizer({ json });
    for (const text of ['x', 'box axis xx', '退货 x 运费 Ģë', `x${'ax'.repeat(200)}`, ...parity.texts]) {
      const ids = library.encode(text, { add_special_tokens: false }).ids.filter((id) => id !== undefined);
      expect(tokenizer.encode(text, { allowSpecial: true }), JSON.stringify(text)).toEqual(ids);
    }
  });
});

describe('the trainer', () => {
  it('stops when no pair is frequent enough, and refuses impossible sizes', async () => {
    const specialTokens = ['<a>'];
    const small = await trainByteLevelBpe(['ab ab', 'cd'], { vocabSize: 400, specialTokens });
    expect(small.model.merges).toEqual([['a', 'b']]);
    const all = await trainByteLevelBpe(['ab ab', 'cd'], { vocabSize: 400, specialTokens, minFrequency: 1 });
    expect(all.model.merges).toContainEqual(['c', 'd']);
    await expect(trainByteLevelBpe([], { vocabSize: 256, specialTokens })).rejects.toThrow(/vocabulary size/);
    await expect(trainByteLevelBpe([], { vocabSize: 300, specialTokens: ['<a>', '<a>'] })).rejects.toThrow(/differ/);
  });

  it('never merges digits with anything, nor a word with the punctuation behind it, nor spells a special token', async () => {
    const texts = Array.from({ length: 50 }, () => '退货ABC123。<|im_end|>,<|im_end|>');
    const { model } = await trainByteLevelBpe(texts, { vocabSize: 600, specialTokens: ['<|', ...chatMlSpecialTokens] });
    const merged = model.merges.map((pair) => (typeof pair === 'string' ? pair : pair.join('')));
    const tokenizer = createTokenizer({ json: { ...byteLevel, model, added_tokens: [] } });
    const refused = [/[0-9]./u, /.[0-9]/u, /[\p{L}][\p{P}\p{S}]/u];
    expect(merged.length).toBeGreaterThan(10);
    for (const token of merged) {
      const text = tokenizer.decode([model.vocab[token]!]);
      for (const pattern of refused) expect(text).not.toMatch(pattern);
    }
    expect(merged).not.toContain('<|');
  });
});

describe('encode and decode', () => {
  const tokenizer = createTokenizer({ json: byteLevel, chatTemplate: chatMlTemplate });

  it('takes special tokens in text as text unless allowed', () => {
    const end = tokenizer.idOf('<|im_end|>')!;
    expect(end).toBe(2);
    const plain = tokenizer.encode('hi<|im_end|>');
    expect(plain.some((id) => id < 3)).toBe(false);
    expect(tokenizer.decode(plain)).toBe('hi<|im_end|>');
    expect(tokenizer.encode('hi<|im_end|>', { allowSpecial: true }).at(-1)).toBe(end);
    expect(tokenizer.decode([...tokenizer.encode('hi'), end], { skipSpecial: true })).toBe('hi');
    expect(tokenizer.idOf('constructor')).toBeNull();
    expect(tokenizer.vocabSize).toBe(Object.keys(byteLevel.model.vocab).length);
  });

  it('gives nothing for ids that no token has, and refuses what is no id', () => {
    expect(tokenizer.decode([tokenizer.vocabSize + 5])).toBe('');
    expect(createTokenizer({ json: fixture('llama-style') }).decode([100_000])).toBe('');
    expect(() => tokenizer.decode([-1])).toThrow(RangeError);
    expect(() => tokenizer.decode([0.5])).toThrow(RangeError);
  });

  it.each(['byte-level', 'llama-style'])('streams whole characters only: %s', (name) => {
    const streaming = createTokenizer({ json: fixture(name) });
    for (const text of ['退货😀 ok 𠮷 é end', '龘靐 x', ...parity.texts.slice(0, 12)]) {
      const ids = streaming.encode(text);
      const decoder = streaming.streamDecoder();
      const chunks = ids.map((id) => decoder.push([id]));
      chunks.push(decoder.end());
      expect(chunks.join('')).toBe(streaming.decode(ids));
      expect(chunks.some((chunk) => chunk.includes('\uFFFD'))).toBe(false);
      expect(decoder.push(ids) + decoder.end()).toBe(streaming.decode(ids));
    }
    expect(streaming.encode('龘').length).toBeGreaterThan(1);
  });

  it('ends a stream that stops inside a character, or meets a special token there', () => {
    const ids = tokenizer.encode('龘');
    const decoder = tokenizer.streamDecoder();
    expect(decoder.push(ids.slice(0, -1))).toBe('');
    expect(decoder.end()).toBe('\uFFFD');
    expect(decoder.push([...ids.slice(0, -1), 2])).toBe('\uFFFD<|im_end|>');
    expect(decoder.push(ids)).toBe('龘');
    expect(tokenizer.streamDecoder({ skipSpecial: true }).push([2, ...ids, 2])).toBe('龘');
  });
});

describe('files', () => {
  const files = Object.fromEntries(chatMlTokenizerFiles(byteLevel, 512));

  it('reads what it writes', async () => {
    const tokenizer = await loadTokenizer(memoryStore(files));
    expect(tokenizer.applyChatTemplate([{ role: 'user', content: '你好' }], { addGenerationPrompt: true })).toBe(
      '<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n',
    );
    const { 'tokenizer_config.json': _config, ...withoutConfig } = files;
    const fromJinja = await loadTokenizer(memoryStore(withoutConfig));
    expect(fromJinja.applyChatTemplate([])).toBe('');
    const bare = await loadTokenizer(memoryStore({ 'tokenizer.json': files['tokenizer.json']! }));
    expect(() => bare.encodeChat([])).toThrow(/no chat template/);
    const named = JSON.stringify({ chat_template: [{ name: 'default', template: 'x' }], bos_token: { content: 'b' } });
    expect((await loadTokenizer(memoryStore({ ...files, 'tokenizer_config.json': named }))).applyChatTemplate([])).toBe('x');
  });

  const edits: [string, (json: Draft) => void, RegExp][] = [
    ['another model', (json) => (json.model.type = 'Unigram'), /"Unigram" is not supported/],
    ['no vocabulary', (json) => delete (json.model as { vocab?: object }).vocab, /model.vocab/],
    ['an id twice', (json) => (json.model.vocab['zzz'] = 5), /id 5 twice/],
    ['a giant id', (json) => (json.model.vocab['zzz'] = 2 ** 31), /id 2147483648/],
    ['a merge of unknown tokens', (json) => json.model.merges.push(['龘', 'a']), /not in the vocabulary/],
    ['a merge of one', (json) => json.model.merges.push(['a']), /not a pair/],
    ['an added token without text', (json) => (json.added_tokens[0]!.content = ''), /added_tokens\[0\].content/],
    ['an added token twice', (json) => json.added_tokens.push(json.added_tokens[0]!), /twice/],
    ['a bad pattern', (json) => (json.pre_tokenizer.pretokenizers[0]!.pattern.Regex = '(['), /cannot be used/],
    ['a stage without pattern', (json) => (json.pre_tokenizer.pretokenizers[0]!.pattern = {}), /no `pattern`/],
    ['an unknown stage', (json) => (json.normalizer = { type: 'Magic' }), /Magic/],
    ['a deep stage', (json) => (json.normalizer = nested(20)), /nested too deeply/],
  ];
  it.each(edits)('refuses %s in one sentence', async (_name, edit, message) => {
    const json = structuredClone(byteLevel) as unknown as Draft;
    edit(json);
    const loading = loadTokenizer(memoryStore({ ...files, 'tokenizer.json': JSON.stringify(json) }));
    await expect(loading).rejects.toThrow(message);
    await expect(loading).rejects.toSatisfy(EdgeDeskError.isInstance);
  });

  it('answers 400 damaged files with a tokenizer or an EdgeDeskError, never otherwise', async () => {
    const random = seeded(11);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
    const values = [null, -1, 1e300, '', 'x', [], {}, true, 2 ** 32, ['a', 'b'], { type: 'Sequence' }, { type: 'Split' }];
    let refused = 0;
    for (let i = 0; i < 400; i++) {
      let text: string;
      if (i % 2 === 0) {
        const json = structuredClone(byteLevel) as unknown as Record<string, unknown>;
        let node = json;
        for (let depth = 0; depth < 4; depth++) {
          const key = pick(Object.keys(node));
          if (depth === 3 || typeof node[key] !== 'object' || node[key] === null || random() < 0.25) {
            node[key] = pick(values);
            break;
          }
          node = node[key] as Record<string, unknown>;
          if (Object.keys(node).length === 0) break;
        }
        text = JSON.stringify(json);
      } else {
        const chars = [...JSON.stringify(byteLevel)];
        for (let k = 0; k < 3; k++) chars[Math.floor(random() * chars.length)] = pick([...'{}[]",:0x\\']);
        text = chars.slice(0, random() < 0.3 ? Math.floor(random() * chars.length) : undefined).join('');
      }
      try {
        const tokenizer = await loadTokenizer(memoryStore({ ...files, 'tokenizer.json': text }));
        tokenizer.decode(tokenizer.encode('退货 return 123<|im_end|>', { allowSpecial: true }));
      } catch (error) {
        refused++;
        if (!EdgeDeskError.isInstance(error)) throw new Error(`case ${i}`, { cause: error });
      }
    }
    expect(refused).toBeGreaterThan(150);
  });
});

function nested(depth: number): unknown {
  return depth === 0 ? 1 : { type: 'Sequence', normalizers: [nested(depth - 1)] };
}
