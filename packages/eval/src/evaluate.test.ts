import { chatTexts, parseRow } from '@edgedesk/models';
import { DataError } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import { compareModels } from './compare.js';
import { evaluate } from './evaluate.js';
import { checkGate } from './report/gate.js';
import { metricTraits } from './metrics/metric.js';
import type { MetricName } from './metrics/metric.js';
import { qualityKept } from './report/quality-kept.js';
import { evalReportSchema } from './report/schema.js';
import { encodeRow } from './tasks/encode.js';
import { labelSet } from './tasks/intent.js';
import { likeliestLabel } from './tasks/label-trie.js';
import { answerScores } from './tasks/row-scores.js';
import { BigramEngine } from './testing/bigram-engine.case.js';
import { sampleCorpus, sampleFiles } from './testing/sample-rows.case.js';

const corpus = sampleCorpus();
const engine = new BigramEngine(corpus);
const coarse = new BigramEngine(corpus, { step: 2, name: 'coarse' });
const files = Object.values(sampleFiles);
const everything = { context: 4096, replyTokens: 64 };

describe('likeliestLabel', () => {
  const labels = ['refund', 'refund_status', 'refund_time', 'track_order', 'track', 'oos', 'card_lost', 'a'];

  it.each([engine, coarse])('finds what scoring every label finds', async (model) => {
    const { trie } = labelSet(model, labels, 'en');
    for (const text of ['i want my money', 'card', '1 2 3', '你好']) {
      const messages = [
        { role: 'system', content: chatTexts.en.intentSystem },
        { role: 'user', content: text },
      ] as const;
      const prompt = model.encodeChat(messages, { addGenerationPrompt: true });
      const sums = labels.map((label) => {
        const ids = [prompt.at(-1)!, ...model.encode(`${label}<|im_end|>`, { allowSpecial: true })];
        return ids.slice(1).reduce((sum, id, i) => sum + model.logProb(ids[i]!, id), 0);
      });
      const best = Math.max(...sums);
      const found = await likeliestLabel(model, prompt, trie);
      expect(found!.logProb).toBeCloseTo(best, 4);
      expect(found!.label).toBe(labels[sums.indexOf(best)]);
    }
  });

  it('runs the prompt once and few of the branches', async () => {
    const model = new BigramEngine(corpus);
    const many = Array.from({ length: 200 }, (_, i) => `track_order_${i}`);
    const { trie } = labelSet(model, [...many, 'refund'], 'en');
    const prompt = model.encode('x'.repeat(500));
    model.tokensRun = 0;
    await likeliestLabel(model, prompt, trie);
    expect(model.tokensRun).toBeLessThan(2 * prompt.length);
  });
});

describe('encodeRow', () => {
  it('scores the assistant messages with the end of their turns, and nothing else', () => {
    const row = parseRow(
      {
        messages: [
          { role: 'system', content: 'be kind.' },
          { role: 'user', content: 'a' },
          { role: 'assistant', content: 'first' },
          { role: 'user', content: 'b' },
          { role: 'assistant', content: 'second' },
        ],
      },
      'x:1',
    );
    if (row.kind !== 'chat') throw new Error('not a chat row');
    const { sequences, prompt } = encodeRow(engine, row, everything)!;
    const { tokens, spans } = sequences[0]!;
    expect(spans.map(([from, to]) => engine.decode(tokens.slice(from, to), { skipSpecial: false }))).toEqual([
      'first<|im_end|>',
      'second<|im_end|>',
    ]);
    expect(prompt).toEqual(tokens.slice(0, spans[1]![0]));

    const cut = encodeRow(engine, row, { context: prompt!.length + 4, replyTokens: 5 })!;
    expect(cut.cut).toBe(true);
    expect(engine.decode(cut.prompt!)).toContain('e kind.');
    expect(engine.decode(cut.prompt!)).not.toContain('first');
    expect(encodeRow(engine, row, { context: 10, replyTokens: 5 })).toBeNull();
  });

  it('drops passages that are not gold before it gives a grounded row up', () => {
    const row = parseRow(
      {
        question: 'q',
        context: [
          { id: 'x', text: 'x'.repeat(300) },
          { id: 'g', text: 'gold' },
          { id: 'y', text: 'y'.repeat(300) },
        ],
        answer: 'gold',
        gold_ids: ['g'],
      },
      'x:1',
    );
    if (row.kind !== 'grounded') throw new Error('not a grounded row');
    const cut = encodeRow(engine, row, { context: 200, replyTokens: 10 })!;
    expect(engine.decode(cut.prompt!)).toContain('[1] gold');
    expect(encodeRow(engine, { ...row, goldIds: [] }, { context: 200, replyTokens: 10 })).toBeNull();
  });

  it('scores every token of a long text once', () => {
    const row = { kind: 'text', text: 'abcdefghij', lang: 'en' } as const;
    const { sequences, bytes } = encodeRow(engine, row, { context: 4, replyTokens: 2 })!;
    expect(bytes).toBe(10);
    const scored = sequences.flatMap(({ tokens, spans }) =>
      spans.flatMap(([from, to]) => tokens.slice(from, to)),
    );
    expect(scored).toEqual(engine.encode(row.text));
    expect(sequences.every(({ tokens }) => tokens.length <= 4)).toBe(true);
  });
});

describe('answerScores', () => {
  it('takes a refusal for what it is', () => {
    const answerable = { answer: '9 to 5', answers: ['nine'] };
    expect(answerScores('<no_answer/>9 to 5', answerable)).toMatchObject({ refused: true, tokenF1: 0 });
    expect(answerScores('Nine!', answerable)).toMatchObject({ refused: false, tokenF1: 1, exactMatch: 1 });
    expect(answerScores('<hand_off/>', { answer: null, answers: [] })).toEqual({
      answerable: false,
      refused: true,
    });
  });
});

describe('evaluate', () => {
  it('measures what the definitions say', async () => {
    const report = evalReportSchema.parse(await evaluate({ engine, files }));
    const chat = report.data.find(({ file }) => file === 'chat.jsonl')!;
    let nll = 0;
    let tokens = 0;
    for (const row of sampleFiles.chat.rows) {
      if (row.kind !== 'chat') continue;
      const reply = row.messages[1]!.content;
      const ids = engine.encode(`\n${reply}<|im_end|>`, { allowSpecial: true });
      for (let i = 1; i < ids.length; i++) nll -= engine.logProb(ids[i - 1]!, ids[i]!);
      tokens += ids.length - 1;
    }
    expect(chat.metrics.perplexity).toBeCloseTo(Math.exp(nll / tokens), 4);
    expect(chat.rows).toBe(4);
    expect(Object.keys(chat.metrics)).toEqual(['perplexity', 'rougeL', 'chrF']);
    expect(chat.kept).toBeUndefined();

    const [low, high] = chat.intervals.perplexity!;
    expect(low).toBeLessThan(chat.metrics.perplexity!);
    expect(high).toBeGreaterThan(chat.metrics.perplexity!);

    const text = report.data.find(({ file }) => file === 'text.jsonl')!;
    expect(Object.keys(text.metrics)).toEqual(['perplexity', 'bitsPerByte']);
    const retrieval = report.data.find(({ file }) => file === 'retrieval.jsonl')!;
    expect(retrieval).toMatchObject({ rows: 0, metrics: {}, notes: [{ code: 'retrievalSkipped' }] });
    expect(report).toMatchObject({ sizeBytes: engine.info.sizeBytes, bitsPerWeight: 32 });
    expect(checkGate(report, { minKept: 0.5 })).toMatchObject({ passed: false, qualityKept: null });
  });

  it('finds that a model keeps all of itself', async () => {
    const report = await evaluate({ engine, base: new BigramEngine(corpus), files });
    expect(report.qualityKept).toBe(1);
    for (const { metrics, base = {}, kept = {}, keptIntervals = {} } of report.data) {
      expect(Object.keys(kept)).toEqual(Object.keys(base));
      if (metrics.perplexity !== undefined)
        expect(metrics).toMatchObject({ klDivergence: 0, top1Agreement: 1 });
      for (const [name, share] of Object.entries(kept) as [MetricName, number | null][]) {
        const nothing = metricTraits[name].better === 'higher' ? 0 : 1;
        expect(share, name).toBe(base[name] === nothing ? null : 1);
      }
      for (const interval of Object.values(keptIntervals)) expect(interval).toEqual([1, 1]);
    }
  });

  it('finds that a coarse model keeps less', async () => {
    const report = evalReportSchema.parse(await evaluate({ engine: coarse, base: engine, files }));
    const intent = report.data.find(({ kind }) => kind === 'intent')!;
    expect(intent.metrics.klDivergence).toBeGreaterThan(0);
    expect(intent.metrics.top1Agreement).toBeLessThan(1);
    expect(intent.kept!.perplexity).toBeCloseTo(intent.base!.perplexity! / intent.metrics.perplexity!, 12);
    expect(report.qualityKept).toBeLessThan(1);
    expect(report.qualityKept).toBe(qualityKept(report.data));
    expect(checkGate(report, { minKept: 0.999 }).passed).toBe(false);
    expect(checkGate(report, { minKept: 0.1 }).passed).toBe(true);
  });

  it('judges out-of-scope rows by confidence when no label stands for them', async () => {
    const labels = ['track_order', 'refund', 'card_lost'];
    const { data } = await evaluate({ engine, files: [{ ...sampleFiles.intent, labels }] });
    expect(Object.keys(data[0]!.metrics)).toEqual(['perplexity', 'intentAccuracy', 'oosAuroc']);
  });

  it('sets models with other tokens beside each other without comparing tokens', async () => {
    const other = new BigramEngine(corpus.slice(0, 5), { name: 'other' });
    const { data } = await evaluate({
      engine: other,
      base: engine,
      files: [sampleFiles.chat, sampleFiles.text],
    });
    expect(data[0]!.notes).toEqual([{ code: 'otherTokens' }]);
    expect(data[0]!.metrics.klDivergence).toBeUndefined();
    expect(data[0]!.base!.perplexity).toBeGreaterThan(1);
    expect(data[0]!.kept!.perplexity).toBeUndefined();
    expect(data[1]!.kept!.bitsPerByte).toBeDefined();
  });

  it('draws the same rows for a seed, reports progress and leaves out what does not fit', async () => {
    const progress: number[] = [];
    const onProgress = ({ done }: { done: number }) => progress.push(done);
    const options = { engine, files: [sampleFiles.intent], limit: 4, seed: 2 };
    const first = await evaluate({ ...options, onProgress });
    expect(first).toEqual(await evaluate(options));
    expect(first.data[0]).toMatchObject({ rows: 4, available: 10 });
    expect(progress).toEqual([1, 2, 3, 4]);

    const small = new BigramEngine(corpus, { contextLength: 8 });
    const none = await evaluate({ engine: small, files: [sampleFiles.intent] });
    expect(none.data[0]).toMatchObject({
      rows: 0,
      notes: [{ code: 'rowsTooLong', rows: 10, contextLength: 8 }],
    });
  });

  it('refuses an empty or mixed file and stops when told', async () => {
    await expect(evaluate({ engine, files: [{ file: 'e', rows: [] }] })).rejects.toThrow(DataError);
    const mixed = { file: 'm', rows: [...sampleFiles.chat.rows, ...sampleFiles.text.rows] };
    await expect(evaluate({ engine, files: [mixed] })).rejects.toThrow('mixes chat and text');
    const controller = new AbortController();
    const onProgress = () => controller.abort(new Error('enough'));
    await expect(evaluate({ engine, files, onProgress, signal: controller.signal })).rejects.toThrow(
      'enough',
    );
  });
});

describe('compareModels', () => {
  it('puts the base first and lets it work once', async () => {
    let generated = 0;
    const base = new BigramEngine(corpus);
    const generate = base.generate.bind(base);
    base.generate = (...args) => {
      generated++;
      return generate(...args);
    };
    const models = [2, 1].map((step) => ({
      name: `step ${step}`,
      open: () => Promise.resolve(new BigramEngine(corpus, { step })),
    }));
    const reports = await compareModels({ base, baseName: 'full', models, files });
    expect(reports.map(({ name }) => name)).toEqual(['full', 'step 2', 'step 1']);
    expect(reports[0]).toMatchObject({ qualityKept: 1, sizeBytes: base.info.sizeBytes });
    expect(generated).toBe(sampleFiles.chat.rows.length + sampleFiles.grounded.rows.length);
    const alone = await evaluate({ engine: new BigramEngine(corpus, { step: 1 }), base, files });
    expect(reports[2]!.data).toEqual(alone.data);
    for (const report of reports) evalReportSchema.parse(report);
  });
});
