import { describe, expect, it } from 'vitest';
import { exactMatch, tokenF1 } from './answer-match.js';
import { auroc } from './auroc.js';
import { chrF } from './chrf.js';
import { agreements, klDivergenceSum } from './divergence.js';
import { estimates } from './estimates.js';
import { metricNames, metricTraits } from './metric.js';
import { rougeL } from './rouge-l.js';

// Made with rouge-score 0.1.2 (`RougeScorer(['rougeL'], use_stemmer=False)`, in Chinese with a tokenizer that splits
// characters) and sacrebleu 2.6.0 (`sentence_chrf(reply, [reference])` / 100).
const references: [reply: string, reference: string, rougeL: number, chrF: number][] = [
  [
    'Your refund will arrive within 5 days.',
    'The refund arrives in your account within five business days.',
    0.352941,
    0.305086,
  ],
  [
    'You can return the item at any store',
    'You can return items in any store, free of charge.',
    0.555556,
    0.469286,
  ],
  ["I'm sorry, I cannot help with that.", 'Please contact our support team by phone.', 0, 0.108632],
  ['the the the cat', 'the cat sat on the mat', 0.4, 0.322969],
  ['ok', 'ok', 1, 1],
  ['a b', 'Yes, we do.', 0, 0],
  ['您可以在七天内申请退货。', '收到商品后七天内可以申请无理由退货。', 0.5, 0.185031],
  ['请联系客服', '您好，请拨打客服热线。', 0.428571, 0.083976],
  ['iPhone 15 有现货', 'iPhone 15 目前没有现货', 0.769231, 0.570904],
];

describe('reply metrics', () => {
  it.each(references)('%s | %s', (reply, reference, expectedRouge, expectedChrF) => {
    expect(rougeL(reply, reference)).toBeCloseTo(expectedRouge, 6);
    expect(chrF(reply, reference)).toBeCloseTo(expectedChrF, 6);
  });

  it('is 0 for an empty reply and bounded in work for an endless one', () => {
    expect(rougeL('', 'yes')).toBe(0);
    expect(chrF('', 'yes')).toBe(0);
    expect(rougeL('word '.repeat(200_000), 'word')).toBeLessThan(0.01);
    expect(chrF('word'.repeat(200_000), 'word')).toBeLessThan(0.5);
  });
});

describe('answer metrics', () => {
  // By hand: shared bags / lengths, articles and punctuation gone.
  it('computes token F1 against the nearest accepted answer', () => {
    expect(tokenF1('The shop opens at 9.', ['it opens at 9'])).toBeCloseTo((2 * 3) / (4 + 4), 12);
    expect(tokenF1('at 9', ['noon', 'At 9!'])).toBe(1);
    expect(tokenF1('七天内可退', ['七天'])).toBeCloseTo((2 * 2) / (5 + 2), 12);
    expect(tokenF1('', ['9'])).toBe(0);
    expect(tokenF1('the', ['a'])).toBe(1);
  });

  it('matches up to case, articles, punctuation and spaces', () => {
    expect(exactMatch('The  Answer.', ['answer'])).toBe(1);
    expect(exactMatch('七天。', ['七 天'])).toBe(1);
    expect(exactMatch('answers', ['answer'])).toBe(0);
  });
});

describe('auroc', () => {
  // sklearn.metrics.roc_auc_score 1.9.1 on scores with ties.
  const scores = [
    0.5, 0.5, 0.25, 0.75, 0.75, 0, 0.25, 0.75, 0.25, 0.5, 1, 0.5, 1, 0.5, 0.75, 0.5, 0.75, 0.75, 0.75, 0.75,
  ];
  const positive = scores.map((_, i) => i % 3 === 0);

  it('agrees with scikit-learn', () => {
    expect(auroc(scores, positive)()).toBeCloseTo(0.5054945054945055, 12);
  });

  it('counts weighted rows as repeated ones', () => {
    const weights = scores.map((_, i) => i % 4);
    const repeated = scores.flatMap((_, i) => Array.from({ length: weights[i]! }, () => i));
    const expanded = auroc(
      repeated.map((i) => scores[i]!),
      repeated.map((i) => positive[i]!),
    );
    expect(auroc(scores, positive)(weights)).toBeCloseTo(expanded(), 12);
  });

  it('is 1, 0 and undetermined at the ends', () => {
    expect(auroc([1, 2, 3], [false, false, true])()).toBe(1);
    expect(auroc([3, 2, 1], [false, false, true])()).toBe(0);
    expect(auroc([1, 2], [true, true])()).toBeNaN();
  });
});

describe('divergence', () => {
  it('sums KL over rows', () => {
    const logs = (...p: number[]) => Float32Array.from(p, Math.log);
    const base = logs(0.5, 0.5, 0.9, 0.1);
    const model = logs(0.25, 0.75, 0.9, 0.1);
    expect(klDivergenceSum(base, model)).toBeCloseTo(0.5 * Math.log(2) + 0.5 * Math.log(2 / 3), 6);
    expect(klDivergenceSum(base, base)).toBe(0);
    expect(klDivergenceSum(Float32Array.of(0, -Infinity), Float32Array.of(-0.1, -Infinity))).toBeCloseTo(
      0.1,
      6,
    );
    const many = Float32Array.from({ length: 5000 }, (_, i) => -20 * ((i * 0.618) % 1));
    const other = many.map((p, i) => p + Math.sin(i));
    const exact = many.reduce((sum, p, i) => sum + Math.exp(p) * (p - other[i]!), 0);
    expect(Math.abs(klDivergenceSum(many, other) / exact - 1)).toBeLessThan(1e-7);
    expect(agreements(Int32Array.of(1, 2, 3), Int32Array.of(1, 0, 3))).toBe(2);
  });
});

describe('estimates', () => {
  it('takes each metric over the rows that determine it', () => {
    const rows = [
      { nll: 2, tokens: 1, outOfScope: false, intentRight: true, outOfScopeScore: -3 },
      { nll: 4, tokens: 3, outOfScope: false, intentRight: false, outOfScopeScore: -1 },
      { nll: 0, tokens: 2, outOfScope: true, intentRight: false, outOfScopeScore: -2 },
    ];
    const figures = estimates(rows);
    const value = (name: (typeof metricNames)[number]) => figures.get(name)?.(Uint32Array.of(0, 1, 2));
    expect(value('perplexity')).toBeCloseTo(Math.exp(6 / 6), 12);
    expect(value('intentAccuracy')).toBe(0.5);
    expect(value('oosRecall')).toBe(0);
    expect(value('oosAuroc')).toBe(0.5);
    expect([...figures.keys()]).toEqual(['perplexity', 'intentAccuracy', 'oosAuroc', 'oosRecall']);
  });
});

describe('kept', () => {
  it('is 1 for the base beside itself and less for a worse model', () => {
    const worse: Record<string, [number, number]> = {
      perplexity: [12, 10],
      bitsPerByte: [1.2, 1],
      klDivergence: [0.1, 0],
      falseRefusalRate: [0.2, 0.1],
      falseHandOffRate: [0.2, 0.1],
    };
    for (const name of metricNames) {
      const [model, base] = worse[name] ?? [0.6, 0.8];
      expect(metricTraits[name].kept(base, base), name).toBe(1);
      expect(metricTraits[name].kept(model, base), name).toBeLessThan(1);
    }
    expect(metricTraits.tokenF1.kept(0, 0)).toBeNaN();
    expect(metricTraits.falseRefusalRate.kept(1, 1)).toBeNaN();
  });
});
