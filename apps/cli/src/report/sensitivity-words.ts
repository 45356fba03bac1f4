import type { Language } from '@edgedesk/models';

interface SensitivityWords {
  readonly title: (model: string) => string;
  readonly measured: (bits: number, method: string, tokens: number) => string;
  readonly block: string;
  readonly outer: { readonly embedding: string; readonly head: string };
  readonly at: (bits: number) => string;
  readonly budgets: string;
  readonly budgetsNote: string;
  readonly size: string;
  readonly bitsPerWeight: string;
  readonly kl: string;
  readonly layers: string;
}

export const sensitivityWords: Readonly<Record<Language, SensitivityWords>> = {
  en: {
    title: (model) => `Sensitivity of ${model}`,
    measured: (bits, method, tokens) =>
      `KL divergence at the output, in thousandths of a nat a token, when one layer alone is quantized to ${bits} bits by ${method} (${tokens} tokens).`,
    block: 'block',
    outer: { embedding: 'embedding', head: 'head' },
    at: (bits) => `at ${bits} bits`,
    budgets: 'What a size buys',
    budgetsNote:
      'Each weight in the format that suits it; the KL is the sum of what was measured for each alone.',
    size: 'size',
    bitsPerWeight: 'bits a weight',
    kl: 'expected KL',
    layers: 'Layers',
  },
  zh: {
    title: (model) => `${model} 的敏感度`,
    measured: (bits, method, tokens) =>
      `仅将一层用 ${method} 量化到 ${bits} 位时,输出处的 KL 散度(每词元千分之一奈特,${tokens} 个词元)。`,
    block: '块',
    outer: { embedding: '词嵌入', head: '输出头' },
    at: (bits) => `${bits} 位时`,
    budgets: '体积与质量',
    budgetsNote: '每个权重采用最合适的格式;KL 为各权重单独测得值之和。',
    size: '体积',
    bitsPerWeight: '每权重位数',
    kl: '预期 KL',
    layers: '各层',
  },
};
