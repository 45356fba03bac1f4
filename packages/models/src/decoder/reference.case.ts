import { crc32 } from 'node:zlib';
import type { DecoderConfig } from '../config.js';

/** The configurations that `fixtures/make-reference.py` gives transformers. */
const base: DecoderConfig = {
  modelType: 'llama',
  vocabSize: 40,
  hiddenSize: 32,
  intermediateSize: 48,
  layerCount: 2,
  headCount: 4,
  kvHeadCount: 2,
  headDim: 8,
  contextLength: 64,
  ropeTheta: 10000,
  normEpsilon: 1e-5,
  tiedEmbedding: true,
  qkvBias: false,
  qkNorm: false,
  bosTokenId: null,
  eosTokenIds: [0],
  padTokenId: null,
};

export const referenceConfigs: Readonly<Record<string, DecoderConfig>> = {
  'llama-tied': base,
  'llama-untied': { ...base, headDim: 16, tiedEmbedding: false },
  'qwen2-bias': { ...base, modelType: 'qwen2', qkvBias: true },
  'qwen3-qk-norm': { ...base, modelType: 'qwen3', headDim: 16, qkNorm: true },
};

/** The script's weight formula: sin of a stride and phase taken from the name; norm weights lie around 1. */
export function referenceWeight(name: string, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const key = crc32(name);
  const count = shape.reduce((a, b) => a * b, 1);
  const offset = name.includes('norm') ? 1 : 0;
  return Float32Array.from(
    { length: count },
    (_, i) => 0.3 * Math.sin((i + 1) * (0.7 + (key % 1000) / 1000) + (key % 97)) + offset,
  );
}
