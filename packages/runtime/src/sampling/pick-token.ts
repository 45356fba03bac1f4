import type { Sampling } from './sampling.js';

/** Logits of the whole vocabulary, or of its likeliest tokens. */
export interface Candidates {
  readonly ids: ArrayLike<number>;
  /** Beside `ids`. */
  readonly logits: ArrayLike<number>;
}

/**
 * The next token, as the sampler in the graph picks it (`graph/sampler.ts`), for engines that hand logits out: repetition
 * penalty, temperature, top-k, top-p, min-p, then one draw by inverting the cumulative distribution, in order of the ids
 * or, when top-k or top-p is on, of the logits.
 *
 * @param candidates without top-k all tokens; with it at least the k + |seen| likeliest.
 * @param seen tokens already in the context. @param u in [0, 1).
 */
export function pickToken(
  { ids, logits }: Candidates,
  { temperature, topK, topP, minP, repetitionPenalty }: Sampling,
  seen: ReadonlySet<number>,
  u: number,
): number {
  const x = new Float64Array(logits.length);
  for (let i = 0; i < x.length; i++) {
    const logit = logits[i]!;
    const damped = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    x[i] = (seen.has(ids[i]!) ? damped : logit) / temperature;
  }
  const ranked = topK > 0 || topP < 1;
  let order = Array.from(x, (_, i) => i);
  order.sort(ranked ? (a, b) => x[b]! - x[a]! || ids[a]! - ids[b]! : (a, b) => ids[a]! - ids[b]!);
  if (topK > 0) order = order.slice(0, topK);
  let peak = -Infinity;
  for (const i of order) peak = Math.max(peak, x[i]!);
  const odds = order.map((i) => Math.exp(x[i]! - peak));
  const total = odds.reduce((sum, o) => sum + o, 0);
  let before = 0;
  let mass = 0;
  const kept = odds.map((o) => {
    const weight = (!ranked || before < topP) && o >= minP ? o : 0;
    before += o / total;
    mass += weight;
    return weight;
  });
  let sum = 0;
  let last = 0;
  for (const [place, weight] of kept.entries()) {
    if (weight === 0) continue;
    last = place;
    sum += weight;
    if (sum > u * mass) break;
  }
  return ids[order[last]!]!;
}
