import { outOfScopeIntent, parseMarks } from '@edgedesk/models';
import type { GroundedRow, SpokenRow } from '@edgedesk/models';
import type { Engine } from '@edgedesk/runtime';
import { exactMatch, tokenF1 } from '../metrics/answer-match.js';
import { chrF } from '../metrics/chrf.js';
import { passageUsed } from '../metrics/passage-used.js';
import { rougeL } from '../metrics/rouge-l.js';
import type { EncodedRow } from './encode.js';
import { classify } from './intent.js';
import type { LabelSet } from './intent.js';

/** What one model did with one row apart from likelihoods. Absent fields were not asked of the row. */
export interface TaskScores {
  readonly outOfScope?: boolean;
  readonly intentRight?: boolean;
  readonly outOfScopeScore?: number;
  readonly rougeL?: number;
  readonly chrF?: number;
  readonly answerable?: boolean;
  /** The model said that the passages do not answer, or handed over to a person. */
  readonly refused?: boolean;
  readonly tokenF1?: number;
  readonly exactMatch?: number;
  /** The reply rests on a passage that carries the answer; asked where those are known and others stand beside them. */
  readonly rightPassage?: boolean;
  /** The expected reply hands over to a person; asked of conversations of files where some do. */
  readonly needsPerson?: boolean;
  readonly handedOff?: boolean;
}

/** All that is known of one model on one row. */
export interface RowScores extends TaskScores {
  readonly nll: number;
  readonly tokens: number;
  readonly bytes?: number;
  /** Against the base, where the two share a tokenizer. */
  readonly kl?: number;
  readonly agreed?: number;
}

export interface TaskOptions {
  readonly labels: LabelSet | null;
  /** Some conversations of the file end in a hand-over. */
  readonly handOffs: boolean;
  readonly replyTokens: number;
  readonly signal?: AbortSignal | undefined;
}

/** Lets the model do what the row asks: name the intent, reply, or answer from the passages. */
export async function taskScores(
  engine: Engine,
  row: SpokenRow,
  encoded: EncodedRow,
  options: TaskOptions,
): Promise<TaskScores> {
  const { prompt, reference } = encoded;
  if (row.kind === 'text' || prompt === undefined || reference === undefined) return {};
  if (row.kind === 'intent') {
    const found = options.labels === null ? null : await classify(engine, prompt, options.labels);
    if (found === null) return {};
    const { predicted, outOfScopeScore } = found;
    const outOfScope = row.intent === outOfScopeIntent;
    // Without a label for it, a message out of scope cannot be named right or wrong.
    if (outOfScope && options.labels?.outOfScope === null) return { outOfScope, outOfScopeScore };
    return { outOfScope, outOfScopeScore, intentRight: predicted === row.intent };
  }
  const reply = await greedyReply(engine, prompt, options);
  if (row.kind === 'grounded') return answerScores(reply, row);
  const overlap = { rougeL: rougeL(reply, reference), chrF: chrF(reply, reference) };
  if (!options.handOffs) return overlap;
  const marks = [reference, reply].map((text) => parseMarks(text).mark);
  return { ...overlap, needsPerson: marks[0] === 'hand_off', handedOff: marks[1] === 'hand_off' };
}

/** How well `reply` answers `row`. A refusal answers nothing, so its overlap with the answer does not count. */
export function answerScores(
  reply: string,
  row: Pick<GroundedRow, 'answer' | 'answers'> & GivenPassages,
): TaskScores {
  const { mark, text } = parseMarks(reply);
  const refused = mark === 'no_answer' || mark === 'hand_off';
  if (row.answer === null) return { answerable: false, refused };
  const accepted = [row.answer, ...row.answers];
  return {
    answerable: true,
    refused,
    tokenF1: refused ? 0 : tokenF1(text, accepted),
    exactMatch: refused ? 0 : exactMatch(text, accepted),
    ...passageScore(refused ? '' : text, row),
  };
}

type GivenPassages = Partial<Pick<GroundedRow, 'context' | 'goldIds'>>;

function passageScore(reply: string, { context = [], goldIds = [] }: GivenPassages): TaskScores {
  const golden = context.filter(({ id }) => id !== undefined && goldIds.includes(id));
  if (golden.length === 0 || golden.length === context.length) return {};
  const texts = context.map(({ text }) => text);
  const used = context[passageUsed(reply, texts)];
  return { rightPassage: used !== undefined && golden.includes(used) };
}

async function greedyReply(
  engine: Engine,
  prompt: readonly number[],
  { replyTokens, signal }: TaskOptions,
): Promise<string> {
  let reply = '';
  const chunks = engine.generate(prompt, {
    temperature: 0,
    maxNewTokens: replyTokens,
    ...(signal === undefined ? {} : { signal }),
  });
  for await (const { text } of chunks) reply += text;
  signal?.throwIfAborted();
  return reply;
}
