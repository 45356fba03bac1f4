import { z } from 'zod';
import { metricNames } from '../metrics/metric.js';
import { noteSchema } from './notes.js';

const size = z.number().nonnegative();
const metricName = z.enum(metricNames);
const metricValues = z.partialRecord(metricName, z.number());
const interval = z.tuple([z.number(), z.number()]).readonly();
const metricIntervals = z.partialRecord(metricName, interval);

/** What a model weighs. */
const modelFacts = {
  name: z.string(),
  /** All weight bytes on disk, of every tensor. */
  sizeBytes: size,
  parameters: size,
  bitsPerWeight: size,
};

const dataReport = z.object({
  file: z.string(),
  kind: z.enum(['intent', 'chat', 'grounded', 'retrieval', 'text']),
  /** Rows that were measured. */
  rows: z.int().nonnegative(),
  /** Rows in the file. */
  available: z.int().nonnegative(),
  metrics: metricValues,
  /** 95 % bootstrap intervals over rows. */
  intervals: metricIntervals,
  /** The base's values on the same rows. */
  base: metricValues.optional(),
  /**
   * Share of the base's value that is left; see docs of `metricTraits` for metrics that are better when low. Null where the
   * base has nothing to keep: a value of 0, or 1 where high is bad.
   */
  kept: z.partialRecord(metricName, z.number().nullable()).optional(),
  /** Paired: both models on the same resampled rows. */
  keptIntervals: metricIntervals.optional(),
  /** Why rows were left out or cut, and why a metric is absent. */
  notes: z.array(noteSchema),
});

export const speedSchema = z.object({
  /** Medians over the repeats. */
  ttftMs: size,
  prefillTokensPerSecond: size,
  decodeTokensPerSecond: size,
  /** Of a fresh process that loads the model and generates; absent where a process cannot be started. */
  peakRssBytes: size.optional(),
  promptTokens: z.int().positive(),
  newTokens: z.int().positive(),
  repeats: z.int().positive(),
  /** Smallest and largest of the repeats. */
  spread: z.object({
    ttftMs: interval,
    prefillTokensPerSecond: interval,
    decodeTokensPerSecond: interval,
  }),
});

export const evalReportSchema = z.object({
  format: z.literal(1),
  ...modelFacts,
  base: z.object(modelFacts).optional(),
  /** One figure for all of `kept`: see `qualityKept`. Absent without a base. */
  qualityKept: z.number().optional(),
  data: z.array(dataReport),
  speed: speedSchema.optional(),
  settings: z.object({
    limit: z.int().positive().nullable(),
    replyTokens: z.int().positive(),
    seed: z.int(),
  }),
});

export type SpeedReport = z.output<typeof speedSchema>;
export type DataReport = z.output<typeof dataReport>;
/** One model's evaluation, as `--json` writes it. */
export type EvalReport = z.output<typeof evalReportSchema>;

/** Whether this is the base's own report, set against itself. */
export function isBaseReport({ name, base, qualityKept }: EvalReport): boolean {
  return base?.name === name && qualityKept === 1;
}
