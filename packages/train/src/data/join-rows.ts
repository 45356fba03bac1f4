import {
  intentPrompt,
  refusalReply,
  type DialogueMessage,
  type GroundedRow,
  type IntentRow,
  type Passage,
} from '@edgedesk/models';
import type { Draws } from '../random/draws.js';
import { answeringPassages, distinctPassages, type GroundedMixOptions } from './grounded-mix.js';

/** `unanswerable`: share of the rows whose answering passage is left out, so that they expect a refusal. */
export type JoinOptions = Pick<GroundedMixOptions, 'questions' | 'unanswerable'>;

/**
 * Rows of one file joined into conversations that ask several questions over the same passages, which costs the reading
 * of the passages once: rows that share their passages, and else rows at random, over the first one's passages and the
 * answering ones of the others. Rows with a history stay alone. The earlier questions are the joined row's history.
 */
export function joinRows(rows: readonly GroundedRow[], options: JoinOptions, draws: Draws): GroundedRow[] {
  const byContext = new Map<string, GroundedRow[]>();
  const alone: GroundedRow[] = [];
  for (const row of rows) {
    if (row.history.length > 0) {
      alone.push(row);
      continue;
    }
    const key = row.context
      .map(({ text }) => text)
      .sort()
      .join('\n');
    const known = byContext.get(key);
    if (known) known.push(row);
    else byContext.set(key, [row]);
  }
  const groups = [...byContext.values()];
  const joined = groups
    .filter((group) => group.length > 1)
    .flatMap((group) => chunks(draws.shuffled(group), options.questions, draws))
    .map((group) => conversation(group, group[0]!.context));
  const single = draws.shuffled(groups.filter((group) => group.length === 1).flat());
  for (const group of chunks(single, options.questions, draws)) {
    const kept = group.filter((_, index) => index === 0 || !draws.chance(options.unanswerable));
    const context = distinctPassages([...group[0]!.context, ...kept.flatMap(answeringPassages)]);
    joined.push(conversation(group, draws.shuffled(context)));
  }
  return [...joined, ...alone];
}

/** Conversations that name the intents of up to `most` messages in a row, in random order; as they come where it is 1. */
export function joinIntents(rows: readonly IntentRow[], most: number, draws: Draws): DialogueMessage[][] {
  const groups = most === 1 ? rows.map((row) => [row]) : chunks(draws.shuffled(rows), most, draws);
  return groups.map((group) => [
    ...intentPrompt(group[0]!.text, group[0]!.lang),
    { role: 'assistant', content: group[0]!.intent },
    ...group.slice(1).flatMap(({ text, intent }) => [
      { role: 'user' as const, content: text },
      { role: 'assistant' as const, content: intent },
    ]),
  ]);
}

/** Chunks of 1 ... `most` items. */
function chunks<T>(items: readonly T[], most: number, draws: Draws): T[][] {
  const out: T[][] = [];
  for (let at = 0; at < items.length;) {
    const size = 1 + draws.below(most);
    out.push(items.slice(at, at + size));
    at += size;
  }
  return out;
}

/** A question whose answering passages are not all in `context` is answered by a refusal. */
function conversation(rows: readonly GroundedRow[], context: readonly Passage[]): GroundedRow {
  const texts = new Set(context.map(({ text }) => text));
  const answers = rows.map((row) => {
    const needed = answeringPassages(row);
    const answered =
      row.answer !== null && (needed.length === 0 || needed.every(({ text }) => texts.has(text)));
    return answered ? row.answer : null;
  });
  const last = rows.at(-1)!;
  const answer = answers.at(-1)!;
  return {
    ...last,
    context,
    answer,
    answers: answer === null ? [] : last.answers,
    goldIds: answer === null ? [] : last.goldIds,
    history: rows.slice(0, -1).flatMap((row, index) => [
      { role: 'user' as const, content: row.question },
      { role: 'assistant' as const, content: answers[index] ?? refusalReply(row.lang) },
    ]),
  };
}
