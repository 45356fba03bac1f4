/** Every figure a report may hold about a data file, by the names of its JSON. */
export const metricNames = [
  'perplexity',
  'bitsPerByte',
  'klDivergence',
  'top1Agreement',
  'intentAccuracy',
  'oosAuroc',
  'oosRecall',
  'rougeL',
  'chrF',
  'tokenF1',
  'exactMatch',
  'rightPassage',
  'refusalRecall',
  'falseRefusalRate',
  'handOffRecall',
  'falseHandOffRate',
] as const;
export type MetricName = (typeof metricNames)[number];

export type MetricValues = Partial<Record<MetricName, number>>;
/** Shares of another model's values; null where it has nothing of which there could be a share. */
export type MetricShares = Partial<Record<MetricName, number | null>>;

export interface MetricTraits {
  readonly better: 'higher' | 'lower';
  /** A share of 1, shown in per cent. */
  readonly share: boolean;
  /**
   * Counts towards the one figure of quality kept. Of two metrics that say the same thing only one does: bits per byte
   * follows perplexity, KL follows agreement, exact match and the right passage follow token F1, recall of oos follows its AUROC.
   */
  readonly headline: boolean;
  /** Share of the base's value that is left, or NaN where the base has nothing to keep. */
  kept(model: number, base: number): number;
}

const higher = (model: number, base: number) => (base > 0 ? model / base : NaN);
const lower = (model: number, base: number) => (model > 0 ? base / model : NaN);
/** Share kept of the customers who got their answer. */
const complement = (model: number, base: number) => (base < 1 ? (1 - model) / (1 - base) : NaN);
/** Mean likelihood ratio of the model to the base on the base's own text: 1 when they agree. */
const likelihoodRatio = (model: number) => Math.exp(-model);

const gain = { better: 'higher', share: true, headline: true, kept: higher } as const;

export const metricTraits: Readonly<Record<MetricName, MetricTraits>> = {
  perplexity: { better: 'lower', share: false, headline: true, kept: lower },
  bitsPerByte: { better: 'lower', share: false, headline: false, kept: lower },
  klDivergence: { better: 'lower', share: false, headline: false, kept: likelihoodRatio },
  top1Agreement: gain,
  intentAccuracy: gain,
  oosAuroc: gain,
  oosRecall: { ...gain, headline: false },
  rougeL: gain,
  chrF: gain,
  tokenF1: gain,
  exactMatch: { ...gain, headline: false },
  rightPassage: { ...gain, headline: false },
  refusalRecall: gain,
  falseRefusalRate: { better: 'lower', share: true, headline: true, kept: complement },
  handOffRecall: gain,
  falseHandOffRate: { better: 'lower', share: true, headline: true, kept: complement },
};
