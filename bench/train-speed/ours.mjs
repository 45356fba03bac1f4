import { adamwDefaults, fromScratch, piecesOf, scheduleDefaults, Trainer } from '@edgedesk/train';
import { vocabSize } from './workloads.mjs';

const shared = {
  modelType: 'llama',
  vocabSize,
  headDim: 64,
  contextLength: 1024,
  ropeTheta: 10000,
  normEpsilon: 1e-5,
  tiedEmbedding: true,
  qkvBias: false,
  qkNorm: false,
  bosTokenId: null,
  eosTokenIds: [2],
  padTokenId: 0,
};

/** @type {Record<string, import('@edgedesk/models').DecoderConfig>} */
export const configs = {
  '13.8M': {
    ...shared,
    hiddenSize: 384,
    intermediateSize: 1024,
    layerCount: 6,
    headCount: 6,
    kvHeadCount: 6,
  },
  '42.7M': {
    ...shared,
    hiddenSize: 512,
    intermediateSize: 1408,
    layerCount: 12,
    headCount: 8,
    kvHeadCount: 8,
  },
};

export const lr = 3e-4;

/** A trainer of ours on a workload, as a recipe would set it up. */
export function makeTrainer(backend, config, { name, source, sequence, batch }) {
  return new Trainer({
    backend,
    config,
    initialise: fromScratch(config, 1),
    phases: [{ name, share: 1, sources: [{ name, weight: 1, pieces: piecesOf(source, sequence) }] }],
    sequence,
    batch,
    accumulate: 1,
    lr,
    optimizer: adamwDefaults,
    decayEmbedding: true,
    schedule: { ...scheduleDefaults, kind: 'constant', warmup: 0 },
    budget: { steps: 1e9 },
    seed: 1,
  });
}

/** Tokens that documents filled so far; free positions do not count. */
export function documentTokens(trainer) {
  return Object.values(trainer.state.sourceTokens).reduce((a, b) => a + b, 0);
}
