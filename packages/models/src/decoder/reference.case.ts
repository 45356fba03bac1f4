import { crc32 } from 'node:zlib';
import type { DecoderConfig } from '../config.js';
import type { RopeScaling } from '../rotary/rope-scaling.js';

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

const longRope = (originalContext: number): RopeScaling => ({
  kind: 'longrope',
  shortFactors: [1, 1.25, 2],
  longFactors: [1.5, 4, 7],
  originalContext,
  magnitude: Math.sqrt(1 + Math.log(64 / originalContext) / Math.log(originalContext)),
});

export const referenceConfigs: Readonly<Record<string, DecoderConfig>> = {
  'llama-tied': base,
  'llama-untied': { ...base, headDim: 16, tiedEmbedding: false },
  'qwen2-bias': { ...base, modelType: 'qwen2', qkvBias: true },
  'qwen3-qk-norm': { ...base, modelType: 'qwen3', headDim: 16, qkNorm: true },
  'llama-linear': { ...base, ropeScaling: { kind: 'linear', factor: 4 } },
  'llama-llama3': {
    ...base,
    headDim: 16,
    ropeScaling: { kind: 'llama3', factor: 4, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 16 },
  },
  'qwen2-yarn': {
    ...base,
    modelType: 'qwen2',
    qkvBias: true,
    ropeScaling: {
      kind: 'yarn',
      factor: 4,
      originalContext: 16,
      betaFast: 32,
      betaSlow: 1,
      truncate: true,
      magnitude: 0.1 * Math.log(4) + 1,
    },
  },
  'mistral-window': { ...base, modelType: 'mistral', local: { window: 4, layers: [true, true] } },
  'phi3-short': { ...base, modelType: 'phi3', rotaryDim: 6, ropeScaling: longRope(16) },
  'phi3-long': {
    ...base,
    modelType: 'phi3',
    rotaryDim: 6,
    ropeScaling: longRope(8),
    tiedEmbedding: false,
    local: { window: 6, layers: [true, true] },
  },
  gemma3: {
    ...base,
    modelType: 'gemma3_text',
    headDim: 16,
    qkNorm: true,
    ropeScaling: { kind: 'linear', factor: 8 },
    local: { window: 4, layers: [true, false], ropeTheta: 100 },
    attentionScale: 1 / Math.sqrt(20),
    embeddingScale: Math.sqrt(32),
    activation: 'gelu',
    outputNorms: true,
  },
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
