import type { DecoderConfig } from '../config.js';
import { weightShapes } from '../config.js';
import { randomNumbers } from '../linear/linear.case.js';

/** A decoder small enough to run in a millisecond; no size is a multiple of another by accident. */
export const tinyConfig: DecoderConfig = {
  modelType: 'llama',
  vocabSize: 50,
  hiddenSize: 48,
  intermediateSize: 80,
  layerCount: 2,
  headCount: 4,
  kvHeadCount: 2,
  headDim: 16,
  contextLength: 64,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbedding: true,
  qkvBias: false,
  qkNorm: false,
  bosTokenId: null,
  eosTokenIds: [2],
  padTokenId: 0,
};

/** Random weights of a `config` model: matrices around 0, norms around 1. */
export function randomWeights(config: DecoderConfig, seed = 5): Map<string, Float32Array<ArrayBuffer>> {
  const random = randomNumbers(seed);
  return new Map(
    [...weightShapes(config)].map(([name, shape]) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const centre = name.endsWith('norm.weight') ? 1 : 0;
      const spread = shape.length === 2 ? 3 / Math.sqrt(shape[1]!) : 0.4;
      return [name, Float32Array.from({ length: size }, () => centre + spread * (2 * random() - 1))];
    }),
  );
}
