import type { Language, SpokenRow } from '@edgedesk/models';
import type { Engine } from '@edgedesk/runtime';
import type { Note } from './report/notes.js';
import { encodeRow } from './tasks/encode.js';
import type { EncodedRow } from './tasks/encode.js';
import { labelSet } from './tasks/intent.js';
import type { LabelSet } from './tasks/intent.js';
import { likelihood, pairedLikelihood } from './tasks/likelihood.js';
import type { FilePlan } from './tasks/plan.js';
import { taskScores } from './tasks/row-scores.js';
import type { RowScores, TaskScores } from './tasks/row-scores.js';

/** The base's task results by file and row, kept while several models are compared with it. */
export type BaseMemory = Map<string, TaskScores>;

export interface FileMeasurement {
  readonly model: readonly RowScores[];
  /** Row for row beside `model`; empty without a base. */
  readonly base: readonly RowScores[];
  readonly notes: readonly Note[];
}

export interface MeasureOptions {
  readonly replyTokens: number;
  readonly baseMemory: BaseMemory;
  readonly signal?: AbortSignal | undefined;
  onRow(done: number): void;
}

/** Lets the model, and the base beside it, do every row of `plan`. */
export async function measureFile(
  plan: FilePlan,
  model: Engine,
  base: Engine | null,
  options: MeasureOptions,
): Promise<FileMeasurement> {
  const context = Math.min(model.info.contextLength, base?.info.contextLength ?? Infinity);
  // A reply may take half of a small context; the prompt needs the other half.
  const replyTokens = Math.min(options.replyTokens, Math.floor(context / 2));
  const tasksOf = (engine: Engine) => {
    const labelsFor = labelSets(engine, plan);
    return (row: SpokenRow, encoded: EncodedRow) => {
      const labels = row.kind === 'intent' ? labelsFor(row.lang) : null;
      const { handOffs } = plan;
      return taskScores(engine, row, encoded, { labels, handOffs, replyTokens, signal: options.signal });
    };
  };
  const modelTasks = tasksOf(model);
  const baseTasks = base === null ? null : tasksOf(base);

  const modelRows: RowScores[] = [];
  const baseRows: RowScores[] = [];
  const omitted = { tooLong: 0, cut: 0, otherTokens: false };
  for (const [index, row] of plan.rows.entries()) {
    options.signal?.throwIfAborted();
    const encoded = encodeRow(model, row, { context, replyTokens });
    const baseEncoded = base === null ? null : encodeRow(base, row, { context, replyTokens });
    if (encoded === null || (base !== null && baseEncoded === null)) {
      omitted.tooLong++;
      options.onRow(index + 1);
      continue;
    }
    if (encoded.cut) omitted.cut++;
    const size = encoded.bytes === undefined ? {} : { bytes: encoded.bytes };
    const done = { ...size, ...(await modelTasks(row, encoded)) };
    if (base === null || baseTasks === null || baseEncoded === null) {
      modelRows.push({ ...(await likelihood(model, encoded.sequences)), ...done });
    } else {
      const key = [plan.file, index, context].join('\n');
      const known = options.baseMemory.get(key) ?? (await baseTasks(row, baseEncoded));
      options.baseMemory.set(key, known);
      const baseDone = { ...size, ...known };
      if (sameTokens(model, base, encoded, baseEncoded)) {
        const pair = await pairedLikelihood(model, base, encoded.sequences);
        modelRows.push({ ...pair.model, kl: pair.kl, agreed: pair.agreed, ...done });
        baseRows.push({ ...pair.base, kl: 0, agreed: pair.base.tokens, ...baseDone });
      } else {
        omitted.otherTokens = true;
        modelRows.push({ ...(await likelihood(model, encoded.sequences)), ...done });
        baseRows.push({ ...(await likelihood(base, baseEncoded.sequences)), ...baseDone });
      }
    }
    options.onRow(index + 1);
  }
  return { model: modelRows, base: baseRows, notes: [...plan.notes, ...describe(omitted, context)] };
}

function describe(
  omitted: { tooLong: number; cut: number; otherTokens: boolean },
  contextLength: number,
): Note[] {
  const { tooLong, cut, otherTokens } = omitted;
  return [
    ...(tooLong > 0 ? [{ code: 'rowsTooLong', rows: tooLong, contextLength } as const] : []),
    ...(cut > 0 ? [{ code: 'rowsCut', rows: cut, contextLength } as const] : []),
    ...(otherTokens ? [{ code: 'otherTokens' } as const] : []),
  ];
}

/** The file's labels as `engine` reads them, encoded once a language. */
function labelSets(engine: Engine, plan: FilePlan): (lang: Language) => LabelSet {
  const sets = new Map<Language, LabelSet>();
  return (lang) => {
    const set = sets.get(lang) ?? labelSet(engine, plan.labels, lang);
    sets.set(lang, set);
    return set;
  };
}

function sameTokens(model: Engine, base: Engine, a: EncodedRow, b: EncodedRow): boolean {
  if (model.info.vocabSize !== base.info.vocabSize || a.sequences.length !== b.sequences.length) return false;
  return a.sequences.every(({ tokens }, i) => {
    const other = b.sequences[i]!.tokens;
    return tokens.length === other.length && tokens.every((id, j) => id === other[j]);
  });
}
