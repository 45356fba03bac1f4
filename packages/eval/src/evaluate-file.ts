import type { Language } from '@edgedesk/models';
import type { Engine } from '@edgedesk/runtime';
import type { Note } from './report/notes.js';
import { encodeRow } from './tasks/encode.js';
import type { EncodedRow } from './tasks/encode.js';
import { labelSet } from './tasks/intent.js';
import type { LabelSet } from './tasks/intent.js';
import { likelihood, pairedLikelihood } from './tasks/likelihood.js';
import type { FilePlan } from './tasks/plan.js';
import { PrefixScorer } from './tasks/prefix-scorer.js';
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

/** One engine with what it needs for a file. */
interface Subject {
  readonly scorer: PrefixScorer;
  labelsFor(lang: Language): LabelSet;
}

/** Lets the model, and the base beside it, do every row of `plan`. */
export async function measureFile(
  plan: FilePlan,
  model: Engine,
  base: Engine | null,
  options: MeasureOptions,
): Promise<FileMeasurement> {
  const subject = subjectOf(model, plan);
  const reference = base === null ? null : subjectOf(base, plan);
  const context = Math.min(model.info.contextLength, base?.info.contextLength ?? Infinity);
  // A reply may take half of a small context; the prompt needs the other half.
  const encoding = { context, replyTokens: Math.min(options.replyTokens, Math.floor(context / 2)) };
  const tasks = { ...encoding, signal: options.signal };

  const modelRows: RowScores[] = [];
  const baseRows: RowScores[] = [];
  const omitted = { tooLong: 0, cut: 0, otherTokens: false };
  for (const [index, row] of plan.rows.entries()) {
    options.signal?.throwIfAborted();
    const encoded = encodeRow(model, row, encoding);
    const baseEncoded = base === null ? null : encodeRow(base, row, encoding);
    if (encoded === null || (base !== null && baseEncoded === null)) {
      omitted.tooLong++;
      options.onRow(index + 1);
      continue;
    }
    if (encoded.cut) omitted.cut++;
    const { bytes } = encoded;
    const size = bytes === undefined ? {} : { bytes };
    const labels = (of: Subject) => (row.kind === 'intent' ? of.labelsFor(row.lang) : null);
    const done = await taskScores(subject.scorer, row, encoded, { ...tasks, labels: labels(subject) });

    if (reference === null || baseEncoded === null) {
      modelRows.push({ ...(await likelihood(subject.scorer, encoded.sequences)), ...size, ...done });
    } else {
      const key = `${plan.file}\n${index}`;
      const baseDone =
        options.baseMemory.get(key) ??
        (await taskScores(reference.scorer, row, baseEncoded, { ...tasks, labels: labels(reference) }));
      options.baseMemory.set(key, baseDone);
      if (sameTokens(model, base!, encoded, baseEncoded)) {
        const pair = await pairedLikelihood(subject.scorer, reference.scorer, encoded.sequences);
        modelRows.push({ ...pair.model, kl: pair.kl, agreed: pair.agreed, ...size, ...done });
        baseRows.push({ ...pair.base, kl: 0, agreed: pair.base.tokens, ...size, ...baseDone });
      } else {
        omitted.otherTokens = true;
        modelRows.push({ ...(await likelihood(subject.scorer, encoded.sequences)), ...size, ...done });
        const alone = await likelihood(reference.scorer, baseEncoded.sequences);
        baseRows.push({ ...alone, ...size, ...baseDone });
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

function subjectOf(engine: Engine, plan: FilePlan): Subject {
  const sets = new Map<Language, LabelSet>();
  return {
    scorer: new PrefixScorer(engine),
    labelsFor(lang) {
      const set = sets.get(lang) ?? labelSet(engine, plan.labels, lang);
      sets.set(lang, set);
      return set;
    },
  };
}

function sameTokens(model: Engine, base: Engine, a: EncodedRow, b: EncodedRow): boolean {
  if (model.info.vocabSize !== base.info.vocabSize || a.sequences.length !== b.sequences.length) return false;
  return a.sequences.every(({ tokens }, i) => {
    const other = b.sequences[i]!.tokens;
    return tokens.length === other.length && tokens.every((id, j) => id === other[j]);
  });
}
