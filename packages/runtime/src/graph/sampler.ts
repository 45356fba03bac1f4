import { onnx } from '@edgedesk/tensor';
import { NodeList, typed, untyped } from './node-list.js';

/** Graph inputs that steer the choice of tokens, by the names the loop gives them. */
export const samplerName = {
  /** bool []: take the likeliest token, nothing else is read. */
  greedy: 'greedy',
  /** bool []: candidates must be sorted (top-k or top-p is on). */
  ranked: 'ranked',
  /** bool []: probabilities are shares of the whole vocabulary, not of the candidates (top-k is off). */
  whole: 'whole',
  /** i64 [1]: how many candidates to sort: k, or a guess when only top-p is on. */
  candidates: 'candidates',
  temperature: 'temperature',
  topP: 'top_p',
  minP: 'min_p',
  penalty: 'repetition_penalty',
  /** f32 [n]: one number of [0, 1 - 2^-23] for each token of the call. */
  uniforms: 'uniforms',
} as const;

/** Sorted candidates tried first when only top-p is on; the whole vocabulary is sorted when they do not reach p. */
export const candidateGuess = 256;

/**
 * A token for each row of logits, as if they came one after the other: [tokens i64 [R], seen bool [vocab] afterwards].
 *
 * @param logits f32 [R, vocab]
 * @param seen bool [vocab]: tokens already in the context; not kept up when `greedy`, which does not read it
 * @param iteration i64 []: index of the first row into `uniforms`
 */
export function writePicks(
  list: NodeList,
  logits: string,
  seen: string,
  iteration: string,
  vocabSize: number,
): [string, string] {
  return list.choose(
    samplerName.greedy,
    (branch) => [branch.add('ArgMax', [logits], { attributes: { axis: 1, keepdims: 0 } }), seen],
    (branch) => drawRows(branch, logits, seen, iteration, vocabSize),
  ) as [string, string];
}

function drawRows(
  list: NodeList,
  logits: string,
  seen: string,
  iteration: string,
  vocabSize: number,
): [string, string] {
  const c = list.constants;
  const { INT64, BOOL } = onnx.TensorProto_DataType;
  const body = new NodeList(list.fresh('rows'), c);
  const [row, goOn, seenBefore] = [body.fresh('row'), body.fresh('go_on'), body.fresh('seen')];
  const u = body.add('Gather', [samplerName.uniforms, body.add('Add', [iteration, row])]);
  const token = draw(body, body.add('Gather', [logits, row]), seenBefore, u, vocabSize);
  const seenAfter = body.add('ScatterElements', [seenBefore, token, c.bool(true, [1])], {
    attributes: { axis: 0 },
  });
  const graph = body.graph(
    [typed(row, INT64, []), typed(goOn, BOOL, []), typed(seenBefore, BOOL, [vocabSize])],
    [body.add('Identity', [goOn]), seenAfter, token].map(untyped),
  );
  const rows = list.add('Squeeze', [list.add('Shape', [logits], { attributes: { start: 0, end: 1 } })]);
  const [seenLast, tokens] = list.addMany('Loop', [rows, c.bool(true, []), seen], 2, {
    attributes: { body: graph },
  }) as [string, string];
  return [list.add('Reshape', [tokens, c.i64([-1])]), seenLast];
}

/**
 * The next token as i64 [1]. Filters act in the order of Hugging Face's processors: repetition penalty, temperature,
 * top-k, top-p, min-p; then one draw by inverting the cumulative distribution.
 *
 * @param logits f32 [vocab]
 * @param u f32 []
 */
function draw(list: NodeList, logits: string, seen: string, u: string, vocabSize: number): string {
  const x = tempered(list, logits, seen);
  return list.choose(
    samplerName.ranked,
    (ranked) => [drawRanked(ranked, x, u, vocabSize)],
    (unranked) => [drawUnranked(unranked, x, u)],
  )[0]!;
}

/** Logits after repetition penalty (CTRL, Keskar et al. 2019, section 4.1) and temperature: f32 [vocab]. */
function tempered(list: NodeList, row: string, seen: string): string {
  const positive = list.add('Greater', [row, list.constants.f32Scalar(0)]);
  const damped = list.add('Where', [
    positive,
    list.add('Div', [row, samplerName.penalty]),
    list.add('Mul', [row, samplerName.penalty]),
  ]);
  return list.add('Div', [list.add('Where', [seen, damped, row]), samplerName.temperature]);
}

function drawUnranked(list: NodeList, x: string, u: string): string {
  const peak = list.add('ReduceMax', [x], { attributes: { keepdims: 0 } });
  const odds = list.add('Exp', [list.add('Sub', [x, peak])]);
  const kept = list.add('GreaterOrEqual', [odds, samplerName.minP]);
  return invert(list, list.add('Where', [kept, odds, list.constants.f32Scalar(0)]), u);
}

function drawRanked(list: NodeList, x: string, u: string, vocabSize: number): string {
  const c = list.constants;
  const top = (on: NodeList, k: string) => on.addMany('TopK', [x, k], 2, { attributes: { axis: 0 } });
  const normaliser = (on: NodeList, values: string) =>
    on.add('ReduceLogSumExp', [values], { attributes: { keepdims: 0 } });
  const share = (on: NodeList, values: string, total: string) =>
    on.add('Exp', [on.add('Sub', [values, total])]);

  const [first, firstIds] = top(list, samplerName.candidates) as [string, string];
  const [logTotal] = list.choose(
    samplerName.whole,
    (all) => [normaliser(all, x)],
    (some) => [normaliser(some, first)],
  ) as [string];
  const reached = list.add('ReduceSum', [share(list, first, logTotal)], { attributes: { keepdims: 0 } });
  const short = list.add('And', [samplerName.whole, list.add('Less', [reached, samplerName.topP])]);
  const [values, ids] = list.choose(
    short,
    (all) => top(all, c.i64([vocabSize])),
    () => [first, firstIds],
  ) as [string, string];

  const p = share(list, values, logTotal);
  const before = list.add('CumSum', [p, c.i64Scalar(0)], { attributes: { exclusive: 1 } });
  const inNucleus = list.add('Less', [before, samplerName.topP]);
  const likeliest = list.add('ReduceMax', [p], { attributes: { keepdims: 0 } });
  const likely = list.add('GreaterOrEqual', [p, list.add('Mul', [likeliest, samplerName.minP])]);
  const kept = list.add('Where', [list.add('And', [inNucleus, likely]), p, c.f32Scalar(0)]);
  return list.add('Gather', [ids, invert(list, kept, u)]);
}

/**
 * Index i64 [1] of the first entry where the running sum of `weights` passes `u` times their sum. Since u <= 1 - 2^-23
 * the product stays below the sum in f32 too, so an entry of weight 0 is never taken.
 */
function invert(list: NodeList, weights: string, u: string): string {
  const c = list.constants;
  const running = list.add('CumSum', [weights, c.i64Scalar(0)]);
  const total = list.add('ReduceMax', [running], { attributes: { keepdims: 0 } });
  const passed = list.add('LessOrEqual', [running, list.add('Mul', [total, u])]);
  return list.add('ReduceSum', [list.add('Cast', [passed], { attributes: { to: 7 } }), c.i64([0])], {
    attributes: { keepdims: 1 },
  });
}
