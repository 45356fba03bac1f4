import {
  groundedPrompt,
  refusalReply,
  type DialogueMessage,
  type GroundedRow,
  type Passage,
} from '@edgedesk/models';
import type { Draws } from '../random/draws.js';
import { answeringPassages, distinctPassages } from './grounded-mix.js';

/**
 * Conversations of many questions over few passages, of whose answers only the openings are said. Which passage a
 * question means is decided in the first tokens of its answer; a drill spends its positions on such decisions.
 */
export interface DrillOptions {
  /** Questions of one conversation at most. */
  readonly questions: number;
  /** Passages they are asked over; 0 asks by heart, without a system message. */
  readonly passages: number;
  /** Share of the questions whose passage is not there, so that they expect a refusal. */
  readonly unanswerable: number;
  /** Tokens of each answer that are said. */
  readonly opening: number;
}

export const drillDefaults: DrillOptions = { questions: 8, passages: 4, unanswerable: 0, opening: 8 };

/**
 * Drills that ask every answerable row without a history once, but for the few whose place a refusal takes; the other rows are
 * left out.
 */
export function drillsOf(
  rows: readonly GroundedRow[],
  options: DrillOptions,
  draws: Draws,
): DialogueMessage[][] {
  const usable = rows.filter(
    (row) => row.history.length === 0 && row.answer !== null && answeringPassages(row).length > 0,
  );
  return options.passages === 0 ? byHeart(usable, options, draws) : overPassages(usable, options, draws);
}

function byHeart(
  rows: readonly GroundedRow[],
  { questions }: DrillOptions,
  draws: Draws,
): DialogueMessage[][] {
  const order = draws.shuffled(rows);
  return Array.from({ length: Math.ceil(order.length / questions) }, (_, index) =>
    order
      .slice(index * questions, (index + 1) * questions)
      .flatMap((row) => exchange(row.question, row.answer!)),
  );
}

/** The passages are a row's own, which its author or a retriever put side by side, and others up to the number asked for. */
function overPassages(
  rows: readonly GroundedRow[],
  options: DrillOptions,
  draws: Draws,
): DialogueMessage[][] {
  const asking = new Map<string, GroundedRow[]>();
  for (const row of draws.shuffled(rows)) {
    const key = needs(row);
    const known = asking.get(key);
    if (known) known.push(row);
    else asking.set(key, [row]);
  }
  const pool = distinctPassages(rows.flatMap(answeringPassages));
  const asked = new Set<GroundedRow>();
  const drills: DialogueMessage[][] = [];
  for (const row of draws.shuffled(rows)) {
    if (asked.has(row)) continue;
    const context = passagesAround(row, pool, options.passages, draws);
    const others = context.flatMap(({ text }) =>
      (asking.get(text) ?? []).filter((other) => other !== row && !asked.has(other)),
    );
    const here = draws.shuffled(others).slice(0, options.questions - 1);
    const shown = new Set(context.map(({ text }) => text));
    const questions = draws.shuffled([row, ...here]).flatMap((answered) => {
      asked.add(answered);
      const turn = exchange(answered.question, answered.answer!);
      if (!draws.chance(options.unanswerable)) return [turn];
      const stranger = draws.pick(rows);
      if (answeringPassages(stranger).every(({ text }) => shown.has(text))) return [turn];
      return draws.shuffled([turn, exchange(stranger.question, refusalReply(stranger.lang))]);
    });
    drills.push([
      ...groundedPrompt({ question: '', context, history: [] }, row.lang).slice(0, 1),
      ...questions.slice(0, options.questions).flat(),
    ]);
  }
  return drills;
}

function passagesAround(row: GroundedRow, pool: readonly Passage[], most: number, draws: Draws): Passage[] {
  const strangers = Array.from({ length: Math.max(0, most - row.context.length) }, () => draws.pick(pool));
  const needed = answeringPassages(row);
  const beside = row.context.filter((passage) => !needed.includes(passage));
  return draws.shuffled(distinctPassages([...needed, ...beside, ...strangers]).slice(0, most));
}

/** Rows that rest on the same passages have the same key; it is the passage's text where there is one. */
function needs(row: GroundedRow): string {
  return answeringPassages(row)
    .map(({ text }) => text)
    .join('\n');
}

function exchange(question: string, answer: string): [DialogueMessage, DialogueMessage] {
  return [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ];
}
