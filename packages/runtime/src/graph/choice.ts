import type { DecoderConfig } from '@edgedesk/models';
import { loopName } from './loop-names.js';
import type { NodeList } from './node-list.js';
import { writePicks } from './sampler.js';

/** What one iteration makes of its logits. */
export interface Choice {
  /** i64 [R]: a token for each row; [1] of no meaning when scoring. */
  readonly tokens: string;
  /** bool [vocab] */
  readonly seen: string;
  /** Log-probabilities f32 [R], likeliest tokens i64 [R] and full rows f32 [R or 0, vocab]; empty when generating. */
  readonly scores: readonly [string, string, string];
}

/** Picks tokens, or scores `targets` when asked to, from `logits` [R, vocab]. */
export function writeChoice(body: NodeList, logits: string, seen: string, config: DecoderConfig): Choice {
  const c = body.constants;
  const [tokens, seenAfter, ...scores] = body.choose(
    loopName.scoring,
    (branch) => [c.i64([0]), seen, ...writeScores(branch, logits)],
    (branch) => [
      ...writePicks(branch, logits, seen, 'iteration', config.vocabSize),
      c.emptyF32([0]),
      c.i64([]),
      c.emptyF32([0, config.vocabSize]),
    ],
  ) as [string, string, string, string, string];
  return { tokens, seen: seenAfter, scores };
}

/** Log-softmax of `logits` [R, vocab] at `targets`, the likeliest tokens, and all of it when asked for. */
function writeScores(list: NodeList, logits: string): [string, string, string] {
  const c = list.constants;
  const normaliser = list.add('ReduceLogSumExp', [logits, c.i64([1])], { attributes: { keepdims: 1 } });
  const picked = list.add('GatherElements', [logits, list.add('Unsqueeze', [loopName.targets, c.i64([1])])], {
    attributes: { axis: 1 },
  });
  const [rows] = list.choose(
    loopName.withRows,
    (all) => [all.add('Sub', [logits, normaliser])],
    (none) => [none.add('Slice', [logits, c.i64([0]), c.i64([0]), c.i64([0])])],
  ) as [string];
  return [
    list.add('Squeeze', [list.add('Sub', [picked, normaliser]), c.i64([1])]),
    list.add('ArgMax', [logits], { attributes: { axis: 1, keepdims: 0 } }),
    rows,
  ];
}
