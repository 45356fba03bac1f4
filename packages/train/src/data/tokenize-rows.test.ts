import { describe, expect, it } from 'vitest';
import {
  chatMlTemplate,
  chatMlSpecialTokens,
  createTokenizer,
  parseRow,
  trainByteLevelBpe,
  type GroundedRow,
  type Row,
} from '@edgedesk/models';
import type { TextCodec } from './codec.js';
import { answeringPassages, dropPassage, groundedMixDefaults, GroundedMixer } from './grounded-mix.js';
import { shortenPassages } from './shorten-passages.js';
import type { TokenSource } from './token-source.js';
import { carriesLoss } from './token-source.js';
import { plainRows, tokenizeRows, type TokenizeOptions } from './tokenize-rows.js';

const json = await trainByteLevelBpe(['the refund takes three days', '退款需要三天'], {
  vocabSize: 300,
  specialTokens: chatMlSpecialTokens,
});
const tokenizer = createTokenizer({ json, chatTemplate: chatMlTemplate });
const codec: TextCodec = { tokenizer, fingerprint: 'test', separatorId: 0 };
const options: TokenizeOptions = {
  maxTokens: 200,
  ...plainRows,
  seed: 1,
};

async function* each(rows: readonly object[]): AsyncGenerator<Row> {
  for (const row of rows) yield await Promise.resolve(parseRow(row, 'test'));
}

/** Documents as text, tokens that carry loss in brackets. */
function marked(source: TokenSource): string[] {
  return Array.from({ length: source.offsets.length - 1 }, (_, d) => {
    const parts: { loss: boolean; ids: number[] }[] = [];
    for (let t = source.offsets[d]!; t < source.offsets[d + 1]!; t++) {
      const loss = carriesLoss(source, t);
      if (parts.at(-1)?.loss !== loss) parts.push({ loss, ids: [] });
      parts.at(-1)!.ids.push(source.tokens[t]!);
    }
    return parts
      .map(({ loss, ids }) => (loss ? `[${tokenizer.decode(ids)}]` : tokenizer.decode(ids)))
      .join('');
  });
}

const tokenize = async (rows: readonly object[], changes: Partial<TokenizeOptions> = {}) =>
  tokenizeRows(each(rows), 'test', codec, { ...options, ...changes });

describe('tokenizeRows', () => {
  it('puts loss on replies and their ends, or on everything', async () => {
    const rows = [
      {
        messages: [
          { role: 'user', content: 'Hi' },
          { role: 'assistant', content: '退款' },
          { role: 'user', content: '<|im_end|>?' },
          { role: 'assistant', content: 'No' },
        ],
      },
      { text: 'the refund', intent: 'refund' },
      { text: '三天。' },
    ];
    expect(marked(await tokenize(rows))).toEqual([
      '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n[退款<|im_end|>]\n<|im_start|>user\n<|im_end|>?<|im_end|>\n<|im_start|>assistant\n[No<|im_end|>]\n',
      '[三天。<|endoftext|>]',
      // Intents wait for the others they may be joined with.
      "<|im_start|>system\nName the intent of the customer's message.<|im_end|>\n<|im_start|>user\nthe refund<|im_end|>\n<|im_start|>assistant\n[refund<|im_end|>]\n",
    ]);
    const all = marked(await tokenize(rows, { lossOn: 'all' }));
    expect(all.every((text) => /^\[[^[\]]*\]$/.test(text))).toBe(true);
  });

  it('says only the openings of answers in drills, and never that they end there', async () => {
    const rows = ['the refund takes three days', 'No'].map((answer, i) => ({
      question: `Q${i}`,
      context: [{ id: 'a', text: 'T' }],
      gold_ids: ['a'],
      answer,
      lang: 'en',
    }));
    const drill = { questions: 2, passages: 0, unanswerable: 0, opening: 2 };
    const [text] = marked(await tokenize(rows, { drill }));
    const opening = tokenizer.decode(tokenizer.encode('the refund takes three days').slice(0, 2));
    expect(text).toContain(`Q0<|im_end|>\n<|im_start|>assistant\n[${opening}]<|im_end|>\n`);
    expect(text).toContain('Q1<|im_end|>\n<|im_start|>assistant\n[No<|im_end|>]\n');
  });

  it('shortens conversations from the front, at turn borders, keeping the system turn', async () => {
    const turns = Array.from({ length: 6 }, (_, i) => [
      { role: 'user', content: `q${i} the refund` },
      { role: 'assistant', content: `a${i}` },
    ]).flat();
    const [text] = marked(
      await tokenize([{ messages: [{ role: 'system', content: 'S' }, ...turns] }], { maxTokens: 80 }),
    );
    expect(text).toMatch(/^<\|im_start\|>system\nS<\|im_end\|>\n<\|im_start\|>user\nq[345] /);
    expect(text).toContain('[a5<|im_end|>]');
    const { dropped, offsets } = await tokenize([{ messages: turns }, { messages: turns.slice(0, 2) }], {
      maxTokens: 12,
    });
    expect([dropped, offsets.length]).toEqual([2, 1]);
  });
});

const row = (id: number, answer: string | null = `${id} days`): GroundedRow =>
  parseRow(
    {
      question: `How long does thing ${id} take?`,
      context: [{ id: `p${id}`, title: `thing ${id}`, text: `First. Thing ${id} takes ${id} days. Last.` }],
      answer,
      lang: 'en',
    },
    'test',
  ) as GroundedRow;

describe('GroundedMixer', () => {
  const rows = Array.from({ length: 40 }, (_, i) => row(i));

  it('adds foreign passages at shuffled places, the same for the same seed', () => {
    const make = () =>
      new GroundedMixer(rows, { ...groundedMixDefaults, distractors: 3, variants: 2 }, 1, 'f');
    const mixed = rows.map((r, i) => make().mix(r, i, 1));
    expect(mixed).toEqual(rows.map((r, i) => make().mix(r, i, 1)));
    expect(mixed).not.toEqual(rows.map((r, i) => make().mix(r, i, 0)));
    const places = mixed.map(({ context }, i) => context.findIndex(({ id }) => id === `p${i}`));
    expect(new Set(places)).toEqual(new Set([0, 1, 2, 3]));
    for (const { context } of mixed)
      expect(new Set(context.map(({ text }) => text)).size).toBe(context.length);
    expect(make().mix(rows[3]!, 3, 0, 0).context).toHaveLength(1);
  });

  it('makes a share of rows unanswerable, without fewer passages', () => {
    const mixer = new GroundedMixer(
      rows,
      { ...groundedMixDefaults, distractors: 2, unanswerable: 0.5 },
      1,
      'f',
    );
    const mixed = rows.map((r, i) => mixer.mix(r, i, 0));
    const refused = mixed.filter(({ answer }) => answer === null);
    expect(refused.length).toBeGreaterThan(10);
    expect(refused.length).toBeLessThan(30);
    mixed.forEach(({ answer, context }, i) => {
      expect(context.some(({ id }) => id === `p${i}`)).toBe(answer !== null);
      expect(context.length).toBeGreaterThan(0);
    });
  });
});

describe('rows that are too long', () => {
  it('lose passages that are not needed, never the answering one', () => {
    const three = { ...row(1), context: [row(2).context[0]!, row(1).context[0]!, row(3).context[0]!] };
    expect(answeringPassages(three).map(({ id }) => id)).toEqual(['p1']);
    const two = dropPassage(three)!;
    expect(two.context.map(({ id }) => id)).toEqual(['p2', 'p1']);
    expect(dropPassage(dropPassage(two)!)).toBeNull();
    expect(dropPassage({ ...three, answer: 'in my own words' })).toBeNull();
  });

  it('keep the sentences around a literal answer', () => {
    const cut = shortenPassages(row(7), 0.8)!;
    expect(cut.context[0]!.text).toBe('Thing 7 takes 7 days. Last.');
    expect(shortenPassages(row(7), 0.1)!.context[0]!.text).toBe('Thing 7 takes 7 days.');
    expect(shortenPassages(row(7, null), 0.2)!.context[0]!.text).toBe('First.');
    expect(shortenPassages(row(7, 'a week'), 0.5)).toBeNull();
    const zh = { ...row(7), answer: '三天', context: [{ text: '第一句。退款需要三天！第三句？' }] };
    expect(shortenPassages(zh, 0.5)!.context[0]!.text).toBe('退款需要三天！');
  });

  it('are shortened rather than dropped', async () => {
    const long = {
      ...row(5),
      context: [{ text: `${'Something else. '.repeat(30)}It takes 5 days. ${'And more. '.repeat(30)}` }],
    };
    const { kind: _kind, goldIds: _goldIds, ...plain } = long;
    const source = await tokenize([plain], { maxTokens: 260 });
    expect(source.dropped).toBe(0);
    expect(marked(source)[0]).toContain('It takes 5 days.');
  });
});
