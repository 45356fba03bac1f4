import type { Engine } from '@edgedesk/runtime';
import { agreements, klDivergenceSum } from '../metrics/divergence.js';
import type { ScoredTokens } from './encode.js';

/** Whole log-softmax rows of both models are held for so many bytes' worth of positions at a time. */
const rowBytes = 32 * 1024 * 1024;

/** Negative log-likelihood in nats over a number of tokens. */
export interface Likelihood {
  readonly nll: number;
  readonly tokens: number;
}

export interface PairedLikelihood {
  readonly model: Likelihood;
  readonly base: Likelihood;
  /** Sum over tokens of KL(base || model) in nats. */
  readonly kl: number;
  /** Tokens at which both find the same one likeliest. */
  readonly agreed: number;
}

/** Likelihood of the scored tokens of a row. */
export async function likelihood(engine: Engine, sequences: readonly ScoredTokens[]): Promise<Likelihood> {
  let nll = 0;
  let count = 0;
  for (const { tokens, spans } of sequences) {
    const start = spans[0]![0];
    const { logProbs } = await engine.score(tokens.slice(0, spans.at(-1)![1]), { start });
    for (const [from, to] of spans) {
      for (let i = from; i < to; i++) nll -= logProbs[i - start]!;
      count += to - from;
    }
  }
  return { nll, tokens: count };
}

/** Both models on the same tokens, with how far the model's distribution is from the base's. */
export async function pairedLikelihood(
  model: Engine,
  base: Engine,
  sequences: readonly ScoredTokens[],
): Promise<PairedLikelihood> {
  const sum = { model: 0, base: 0, kl: 0, agreed: 0, tokens: 0 };
  const positions = Math.max(1, Math.floor(rowBytes / (8 * model.info.vocabSize)));
  for (const { tokens, spans } of sequences) {
    for (const [spanStart, spanEnd] of spans) {
      for (let start = spanStart; start < spanEnd; start += positions) {
        const ids = tokens.slice(0, Math.min(spanEnd, start + positions));
        const m = await model.score(ids, { start, withRows: true });
        const b = await base.score(ids, { start, withRows: true });
        for (const logProb of m.logProbs) sum.model -= logProb;
        for (const logProb of b.logProbs) sum.base -= logProb;
        sum.kl += klDivergenceSum(b.rows!, m.rows!);
        sum.agreed += agreements(b.top1, m.top1);
        sum.tokens += ids.length - start;
      }
    }
  }
  return {
    model: { nll: sum.model, tokens: sum.tokens },
    base: { nll: sum.base, tokens: sum.tokens },
    // Rounding of equal models may leave a hair below zero.
    kl: Math.max(0, sum.kl),
    agreed: sum.agreed,
  };
}
