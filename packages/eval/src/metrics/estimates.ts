import type { Estimate } from '../statistics/bootstrap.js';
import type { RowScores } from '../tasks/row-scores.js';
import { auroc } from './auroc.js';
import { metricNames } from './metric.js';
import type { MetricName } from './metric.js';

/** A sum over rows divided by another. */
interface Ratio {
  numerator(row: RowScores): number | undefined;
  /** Rows for which this is 0 or undefined do not take part. */
  denominator(row: RowScores): number | undefined;
  /** Turns the ratio into the figure. */
  readonly finish?: (ratio: number) => number;
}

const asNumber = (value: boolean | undefined) => (value === undefined ? undefined : Number(value));
const inScope = (row: RowScores) => asNumber(row.outOfScope === undefined ? undefined : !row.outOfScope);
const present = (value: number | undefined) => (value === undefined ? 0 : 1);

const ratios: Readonly<Record<Exclude<MetricName, 'oosAuroc'>, Ratio>> = {
  perplexity: { numerator: (row) => row.nll, denominator: (row) => row.tokens, finish: Math.exp },
  bitsPerByte: {
    numerator: (row) => (row.bytes === undefined ? undefined : row.nll / Math.LN2),
    denominator: (row) => row.bytes,
  },
  klDivergence: {
    numerator: (row) => row.kl,
    denominator: (row) => (row.kl === undefined ? undefined : row.tokens),
  },
  top1Agreement: {
    numerator: (row) => row.agreed,
    denominator: (row) => (row.agreed === undefined ? undefined : row.tokens),
  },
  // As published for CLINC150: accuracy over the rows that have an intent, recall over those that have none.
  intentAccuracy: { numerator: (row) => asNumber(row.intentRight), denominator: inScope },
  oosRecall: {
    numerator: (row) => asNumber(row.intentRight),
    denominator: (row) => asNumber(row.intentRight === undefined ? undefined : row.outOfScope),
  },
  rougeL: { numerator: (row) => row.rougeL, denominator: (row) => present(row.rougeL) },
  chrF: { numerator: (row) => row.chrF, denominator: (row) => present(row.chrF) },
  tokenF1: { numerator: (row) => row.tokenF1, denominator: (row) => present(row.tokenF1) },
  exactMatch: { numerator: (row) => row.exactMatch, denominator: (row) => present(row.exactMatch) },
  rightPassage: {
    numerator: (row) => asNumber(row.rightPassage),
    denominator: (row) => present(asNumber(row.rightPassage)),
  },
  refusalRecall: {
    numerator: (row) => asNumber(row.refused),
    denominator: (row) => asNumber(row.answerable === undefined ? undefined : !row.answerable),
  },
  falseRefusalRate: {
    numerator: (row) => asNumber(row.refused),
    denominator: (row) => asNumber(row.answerable),
  },
  handOffRecall: {
    numerator: (row) => asNumber(row.handedOff),
    denominator: (row) => asNumber(row.needsPerson),
  },
  falseHandOffRate: {
    numerator: (row) => asNumber(row.handedOff),
    denominator: (row) => asNumber(row.needsPerson === undefined ? undefined : !row.needsPerson),
  },
};

/** The metrics that `rows` determine, each as a figure of any choice of them. */
export function estimates(rows: readonly RowScores[]): Map<MetricName, Estimate> {
  const everyRow = Uint32Array.from(rows, (_, i) => i);
  const found = new Map<MetricName, Estimate>();
  for (const name of metricNames) {
    const estimate = name === 'oosAuroc' ? aurocEstimate(rows) : ratioEstimate(rows, ratios[name]);
    if (Number.isFinite(estimate(everyRow))) found.set(name, estimate);
  }
  return found;
}

function ratioEstimate(rows: readonly RowScores[], { numerator, denominator, finish }: Ratio): Estimate {
  const weight = Float64Array.from(rows, (row) => denominator(row) ?? 0);
  const value = Float64Array.from(rows, (row, i) => (weight[i]! > 0 ? (numerator(row) ?? 0) : 0));
  return (choice) => {
    let sum = 0;
    let total = 0;
    for (const i of choice) {
      sum += value[i]!;
      total += weight[i]!;
    }
    const ratio = total > 0 ? sum / total : NaN;
    return finish === undefined ? ratio : finish(ratio);
  };
}

function aurocEstimate(rows: readonly RowScores[]): Estimate {
  const judged = Uint32Array.from(rows.keys()).filter((i) => rows[i]!.outOfScopeScore !== undefined);
  const area = auroc(
    Float64Array.from(judged, (i) => rows[i]!.outOfScopeScore!),
    Array.from(judged, (i) => rows[i]!.outOfScope!),
  );
  const times = new Uint32Array(rows.length);
  return (choice) => {
    times.fill(0);
    for (const i of choice) times[i]!++;
    return area(judged.map((i) => times[i]!));
  };
}
