import type { GroundedRow, Passage, TextRow } from '@edgedesk/models';
import type { Draws } from '../../random/draws.js';
import { clozeOf, type Cloze } from './cloze.js';
import { passagesOf, sentencesOf } from './passages.js';

export interface ReadingOptions {
  /** Questions of one exercise at most. */
  readonly questions: number;
  /** Passages of one exercise at most. */
  readonly passages: number;
}

/** A sentence of fewer characters is a bullet or a number. */
const shortestQuote = 8;
/** Share of the questions that ask for a passage's words by its title or number. */
const quoting = 0.35;

const words = {
  zh: {
    quoteTitle: ['{}讲了什么？', '关于{}，资料怎么说？', '{}是怎么回事？', '介绍一下{}'],
    quoteNumber: ['第{}条资料说了什么？', '读一下第{}条'],
  },
  en: {
    quoteTitle: ['What does it say about {}?', 'Tell me about {}', '{}?', 'What is said on {}?'],
    quoteNumber: ['What does passage {} say?', 'Read passage {} to me'],
  },
} as const;

/**
 * Turns documents into exercises in finding and copying: a few passages, and questions that their words answer, made
 * without a person. A model of a few million parameters does not learn to read from answers that people wrote alone; it
 * needs many rows whose answer stands in the passage word for word.
 */
export function exercisesOf(rows: readonly TextRow[], options: ReadingOptions, draws: Draws): GroundedRow[] {
  const exercises: GroundedRow[] = [];
  for (const row of rows) {
    const passages = passagesOf(row.text, row.lang);
    for (let at = 0; at < passages.length;) {
      const count = 1 + draws.below(options.passages);
      const exercise = exerciseOf(passages.slice(at, at + count), row, options, draws);
      if (exercise !== null) exercises.push(exercise);
      at += count;
    }
  }
  return exercises;
}

function exerciseOf(
  context: readonly Passage[],
  { lang }: TextRow,
  options: ReadingOptions,
  draws: Draws,
): GroundedRow | null {
  const turns: Cloze[] = [];
  const asked = new Set<string>();
  const wanted = 1 + draws.below(options.questions);
  for (let tries = 0; turns.length < wanted && tries < 4 * wanted; tries++) {
    const at = draws.below(context.length);
    const turn = draws.chance(quoting)
      ? quoteOf(context, at, lang, draws)
      : clozeOf(sentencesOf(context[at]!.text), lang, draws);
    if (turn === null || asked.has(turn.answer)) continue;
    asked.add(turn.answer);
    turns.push(turn);
  }
  const last = turns.pop();
  if (last === undefined) return null;
  return {
    kind: 'grounded',
    question: last.question,
    context,
    answer: last.answer,
    answers: [],
    goldIds: [],
    history: turns.flatMap(({ question, answer }) => [
      { role: 'user' as const, content: question },
      { role: 'assistant' as const, content: answer },
    ]),
    lang,
  };
}

/** Asks for the first sentence of a passage by its title, or by its number where several stand there. */
function quoteOf(context: readonly Passage[], at: number, lang: 'zh' | 'en', draws: Draws): Cloze | null {
  const { title, text } = context[at]!;
  const [first] = sentencesOf(text);
  if (first === undefined || first.length < shortestQuote) return null;
  const titles = context.filter((passage) => passage.title === title).length;
  if (title !== undefined && titles === 1 && draws.chance(0.7)) {
    return { question: draws.pick(words[lang].quoteTitle).replace('{}', title), answer: first };
  }
  return { question: draws.pick(words[lang].quoteNumber).replace('{}', String(at + 1)), answer: first };
}
