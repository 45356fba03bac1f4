import type { DecoderConfig, WeightSource } from '@edgedesk/models';
import { weightShapes } from '@edgedesk/models';
import { elementCount } from '@edgedesk/tensor';
import { tinyConfig as smallest } from '../../models/src/decoder/decoder.case.js';

/** Repeatable numbers around 0 with this standard deviation, a few of them three times as large. */
export function bellShaped(count: number, deviation: number, seed = 1): Float32Array<ArrayBuffer> {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => {
    const normal = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    return normal * deviation * (uniform() < 0.02 ? 3 : 1);
  });
}

/** A decoder that runs in milliseconds. */
export const tinyConfig: DecoderConfig = {
  ...smallest,
  vocabSize: 320,
  hiddenSize: 64,
  intermediateSize: 96,
  contextLength: 128,
  eosTokenIds: [2, 0],
};

/** A decoder with blocks of two kinds, whose windows end within the documents of `calibrationText`. */
export const tinyGemmaConfig: DecoderConfig = {
  ...tinyConfig,
  modelType: 'gemma3_text',
  layerCount: 3,
  headDim: 32,
  qkNorm: true,
  ropeScaling: { kind: 'linear', factor: 2 },
  local: { window: 5, layers: [true, false, true], ropeTheta: 100 },
  embeddingScale: Math.sqrt(tinyConfig.hiddenSize),
  activation: 'gelu',
  outputNorms: true,
};

/** A checkpoint in memory whose tensors are made when they are read; `changed` replaces some. */
export function generatedWeights(
  config: DecoderConfig,
  changed: Readonly<Record<string, Float32Array<ArrayBuffer>>> = {},
): WeightSource {
  const shapes = weightShapes(config);
  const names = [...shapes.keys()];
  return {
    tensors: new Map([...shapes].map(([name, shape]) => [name, { name, dtype: 'f32', shape }])),
    readF32(name) {
      const shape = shapes.get(name)!;
      const known = changed[name];
      if (known) return Promise.resolve(known.slice());
      const values = bellShaped(
        elementCount(shape),
        shape.length === 2 ? 1 / Math.sqrt(shape[1]!) : 0.1,
        names.indexOf(name) + 1,
      );
      return Promise.resolve(name.endsWith('norm.weight') ? values.map((x) => 1 + x) : values);
    },
    close: () => Promise.resolve(),
  };
}
