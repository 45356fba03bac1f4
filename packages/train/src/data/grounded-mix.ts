import type { GroundedRow, Passage } from '@edgedesk/models';
import { Draws } from '../random/draws.js';
import { streamOf } from '../random/philox.js';

export interface GroundedMixOptions {
  /** Up to this many passages of other rows join a row's own, at shuffled places. @default 0 */
  readonly distractors: number;
  /** Share of answerable rows that lose the answering passage and expect a refusal. @default 0 */
  readonly unanswerable: number;
  /** Differently mixed copies of each row. @default 1 */
  readonly variants: number;
  /** Rows of one conversation at most; above 1 they are joined anew in each copy (`joinRows`). @default 1 */
  readonly questions: number;
}

export const groundedMixDefaults: GroundedMixOptions = {
  distractors: 0,
  unanswerable: 0,
  variants: 1,
  questions: 1,
};

/**
 * Rows of one file mixed with passages of other rows of that file, so that a model has to find the passage rather than
 * trust it. Everything follows from (seed, row, variant).
 */
export class GroundedMixer {
  readonly #pool: readonly Passage[];
  readonly #stream: number;

  constructor(
    rows: readonly GroundedRow[],
    private readonly options: GroundedMixOptions,
    private readonly seed: number,
    name: string,
  ) {
    this.#pool = distinctPassages(rows.flatMap((row) => row.context));
    this.#stream = streamOf(name);
  }

  /** The row's variant with at most `limit` foreign passages. */
  mix(row: GroundedRow, index: number, variant: number, limit = Infinity): GroundedRow {
    const draws = new Draws(this.seed, this.#stream, (index * this.options.variants + variant) * 256);
    const removes = draws.chance(this.options.unanswerable);
    const wanted = draws.below(this.options.distractors + 1);

    const gold = row.answer === null ? [] : answeringPassages(row);
    const answerable = !(removes && gold.length > 0);
    const own = answerable ? row.context : row.context.filter((passage) => !gold.includes(passage));
    // A removed passage is replaced: the number of passages must not give the refusal away.
    const foreign = this.#foreign(row, Math.min(limit, wanted + row.context.length - own.length), draws);
    const context = draws.shuffled([...own, ...foreign]);
    return { ...row, context, ...(answerable ? {} : { answer: null, answers: [], goldIds: [] }) };
  }

  #foreign(row: GroundedRow, count: number, draws: Draws): Passage[] {
    const chosen: Passage[] = [];
    const maxTries = 4 * count;
    for (let tries = 0; chosen.length < count && tries < maxTries && this.#pool.length > 0; tries++) {
      const passage = draws.pick(this.#pool);
      const related = [...row.context, ...chosen].some(
        ({ text, title }) => text === passage.text || (title !== undefined && title === passage.title),
      );
      if (!related) chosen.push(passage);
    }
    return chosen;
  }
}

/** `passages` without those whose text stood before. */
export function distinctPassages(passages: readonly Passage[]): Passage[] {
  const seen = new Set<string>();
  return passages.filter(({ text }) => !seen.has(text) && seen.add(text) !== undefined);
}

/** The passages that carry the row's answer: named by id, else holding it literally, else the only one. */
export function answeringPassages(row: GroundedRow): readonly Passage[] {
  const named = row.context.filter(({ id }) => id !== undefined && row.goldIds.includes(id));
  if (named.length > 0) return named;
  const accepted = [row.answer, ...row.answers].filter((text) => text !== null && text !== '');
  const holding = row.context.filter(({ text }) =>
    accepted.some((answer) => text.includes(answer as string)),
  );
  if (holding.length > 0) return holding;
  return row.context.length === 1 ? row.context : [];
}

/** The row without its last passage that is not needed, or null when none can go. */
export function dropPassage(row: GroundedRow): GroundedRow | null {
  const needed = row.answer === null ? [] : answeringPassages(row);
  if (row.answer !== null && needed.length === 0) return null;
  const last = row.context.findLastIndex((passage) => !needed.includes(passage));
  if (last < 0 || row.context.length === 1) return null;
  return { ...row, context: row.context.filter((_, index) => index !== last) };
}
