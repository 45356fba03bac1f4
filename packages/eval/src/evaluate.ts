import type { Engine } from '@edgedesk/runtime';
import { measureFile } from './evaluate-file.js';
import type { BaseMemory } from './evaluate-file.js';
import { estimates } from './metrics/estimates.js';
import { metricTraits } from './metrics/metric.js';
import type { MetricName, MetricShares, MetricValues } from './metrics/metric.js';
import type { Note } from './report/notes.js';
import { qualityKept } from './report/quality-kept.js';
import type { DataReport, EvalReport } from './report/schema.js';
import { bootstrapInterval } from './statistics/bootstrap.js';
import type { Interval } from './statistics/bootstrap.js';
import { planFile } from './tasks/plan.js';
import type { FilePlan, RowFile } from './tasks/plan.js';
import type { RowScores } from './tasks/row-scores.js';

type MetricIntervals = Partial<Record<MetricName, Interval>>;

/** How far an evaluation is; rows of one model, over all files. */
export interface EvalProgress {
  readonly model: string;
  readonly file: string;
  readonly done: number;
  readonly total: number;
}

export interface EvaluateOptions {
  readonly engine: Engine;
  /** The uncompressed model to compare with. */
  readonly base?: Engine | undefined;
  readonly files: readonly RowFile[];
  /** Name in the report. @default the engine's */
  readonly name?: string | undefined;
  /** Rows a file, drawn from all over it. @default all */
  readonly limit?: number | undefined;
  /** Longest reply to generate. @default 128 */
  readonly replyTokens?: number | undefined;
  /** Same seed, same rows and intervals. @default 1 */
  readonly seed?: number | undefined;
  /** Pass one map to several calls with the same base, files, limit and seed: the base then works once. */
  readonly baseMemory?: BaseMemory | undefined;
  readonly onProgress?: ((progress: EvalProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A model's report, and the base's on the same rows for those who show the two side by side. */
export interface Evaluation {
  readonly report: EvalReport;
  /** The base set against itself: it keeps everything. Null without a base. */
  readonly baseReport: EvalReport | null;
}

/**
 * Measures a model on data files, and what it keeps of a base. The engines stay the caller's to close.
 * Throws a DataError for a file that is empty or mixes formats, and the signal's reason when aborted.
 */
export async function evaluate(options: EvaluateOptions): Promise<EvalReport> {
  return (await evaluateBeside(options)).report;
}

/** `evaluate`, with the base's own report. */
export async function evaluateBeside(options: EvaluateOptions): Promise<Evaluation> {
  const { engine, base, files, limit, replyTokens = 128, seed = 1, onProgress, signal } = options;
  const name = options.name ?? engine.info.name;
  const plans = files.map((file) => planFile(file, limit, seed));
  const total = plans.reduce((sum, { rows }) => sum + rows.length, 0);
  const baseMemory = options.baseMemory ?? new Map();

  const data: DataReport[] = [];
  const baseData: DataReport[] = [];
  let before = 0;
  for (const plan of plans) {
    const measured = await measureFile(plan, engine, base ?? null, {
      replyTokens,
      baseMemory,
      signal,
      onRow: (done) => onProgress?.({ model: name, file: plan.file, done: before + done, total }),
    });
    before += plan.rows.length;
    const { model, base: beside, notes } = measured;
    data.push(dataReport(plan, model, base === undefined ? null : beside, notes, seed));
    if (base !== undefined) baseData.push(dataReport(plan, beside, beside, notes, seed));
  }
  const settings = { limit: limit ?? null, replyTokens, seed };
  const facts = factsOf(engine, name);
  if (base === undefined) return { report: { format: 1, ...facts, data, settings }, baseReport: null };
  const baseFacts = factsOf(base, base.info.name);
  const reportOf = (of: typeof facts, files: DataReport[]): EvalReport => {
    const kept = qualityKept(files);
    const quality = kept === null ? {} : { qualityKept: kept };
    return { format: 1, ...of, base: baseFacts, ...quality, data: files, settings };
  };
  return { report: reportOf(facts, data), baseReport: reportOf(baseFacts, baseData) };
}

function factsOf({ info }: Engine, name: string) {
  const { sizeBytes, parameters, bitsPerWeight } = info;
  return { name, sizeBytes, parameters, bitsPerWeight };
}

/** Figures of one file with intervals, set against the base's on the same rows. */
function dataReport(
  plan: FilePlan,
  rows: readonly RowScores[],
  baseRows: readonly RowScores[] | null,
  notes: readonly Note[],
  seed: number,
): DataReport {
  const everyRow = Uint32Array.from(rows.keys());
  const metrics: MetricValues = {};
  const intervals: MetricIntervals = {};
  const base: MetricValues = {};
  const kept: MetricShares = {};
  const keptIntervals: MetricIntervals = {};
  const ofBase = estimates(baseRows ?? []);
  for (const [name, estimate] of estimates(rows)) {
    metrics[name] = estimate(everyRow);
    const interval = bootstrapInterval(rows.length, estimate, { seed });
    if (interval !== null) intervals[name] = interval;

    const baseEstimate = ofBase.get(name);
    if (baseEstimate === undefined) continue;
    base[name] = baseEstimate(everyRow);
    if (name === 'perplexity' && notes.some(({ code }) => code === 'otherTokens')) continue;
    const { kept: keptOf } = metricTraits[name];
    const share = keptOf(metrics[name], base[name]);
    kept[name] = Number.isFinite(share) ? share : null;
    if (kept[name] === null) continue;
    const paired = (choice: Uint32Array) => keptOf(estimate(choice), baseEstimate(choice));
    const keptInterval = bootstrapInterval(rows.length, paired, { seed });
    if (keptInterval !== null) keptIntervals[name] = keptInterval;
  }
  const { file, kind, available } = plan;
  const own = { file, kind, rows: rows.length, available, metrics, intervals, notes: [...notes] };
  return baseRows === null ? own : { ...own, base, kept, keptIntervals };
}
