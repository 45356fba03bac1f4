import { RecipeError, type Tensor } from '@edgedesk/tensor';
import type { SamplingOptions } from '../engine.js';
import { candidateGuess, samplerName } from '../graph/index.js';

/** Sampling options with every default filled in and checked. */
export interface Sampling {
  /** No draw at all: the likeliest token of the raw logits. */
  readonly greedy: boolean;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly seed: number;
}

/** Below this a temperature cannot be told from greedy in f32. */
const minTemperature = 1e-4;

/** RecipeError names the first option out of its range. */
export function checkSampling(options: SamplingOptions): Sampling {
  const { temperature = 0, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 } = options;
  const { seed = Math.floor(Math.random() * 2 ** 32) } = options;
  const check = (name: string, holds: boolean, range: string): void => {
    if (!holds) throw new RecipeError(`it must be ${range}`, { where: name, fix: 'change that option' });
  };
  check('temperature', temperature >= 0 && temperature <= 100, 'from 0 to 100');
  check('topK', Number.isInteger(topK) && topK >= 0, 'a whole number, 0 or more');
  check('topP', topP > 0 && topP <= 1, 'above 0 and at most 1');
  check('minP', minP >= 0 && minP <= 1, 'from 0 to 1');
  check('repetitionPenalty', repetitionPenalty > 0 && repetitionPenalty <= 100, 'above 0 and at most 100');
  check('seed', Number.isSafeInteger(seed), 'a whole number');
  const coldest = temperature < minTemperature;
  return {
    greedy: coldest && repetitionPenalty === 1,
    temperature: coldest ? 1 : temperature,
    topK: coldest ? 1 : topK,
    topP,
    minP,
    repetitionPenalty,
    seed,
  };
}

/** The loop's sampling inputs for a call of `uniforms.length` tokens after `context`. */
export function samplingFeeds(
  sampling: Sampling,
  context: Iterable<number>,
  uniforms: Float32Array,
  vocabSize: number,
): Record<string, Tensor> {
  const { greedy, temperature, topK, topP, minP, repetitionPenalty } = sampling;
  const number = (x: number): Tensor => ({ dtype: 'f32', shape: [], data: Float32Array.of(x) });
  const flag = (x: boolean): Tensor => ({ dtype: 'bool', shape: [], data: Uint8Array.of(Number(x)) });
  const candidates = Math.min(topK > 0 ? topK : candidateGuess, vocabSize);
  const seen = new Uint8Array(vocabSize);
  if (repetitionPenalty !== 1) for (const token of context) seen[token] = 1;
  return {
    seen: { dtype: 'bool', shape: [vocabSize], data: seen },
    [samplerName.greedy]: flag(greedy),
    [samplerName.ranked]: flag(topK > 0 || topP < 1),
    [samplerName.whole]: flag(topK === 0),
    [samplerName.candidates]: { dtype: 'i64', shape: [1], data: BigInt64Array.of(BigInt(candidates)) },
    [samplerName.temperature]: number(temperature),
    [samplerName.topP]: number(topP),
    [samplerName.minP]: number(minP),
    [samplerName.penalty]: number(repetitionPenalty),
    [samplerName.uniforms]: { dtype: 'f32', shape: [uniforms.length], data: uniforms },
  };
}
