import { CheckpointError } from '@edgedesk/tensor';
import { z } from 'zod';
import type { RopeScaling } from '../rotary/rope-scaling.js';

/** Far above the longest published contexts. */
const maxContext = 2 ** 24;
/** Half of the widest head. */
const maxFactors = 2 ** 17;

const positive = z.number().positive().max(1e12);
const context = z.int().min(1).max(maxContext);
const factors = z.array(z.number().positive()).max(maxFactors);

/** transformers' `rope_scaling` or `rope_parameters`, older and newer keys. */
const ropeJson = z.looseObject({
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  rope_theta: positive.nullish(),
  partial_rotary_factor: z.number().positive().max(1).nullish(),
  factor: positive.nullish(),
  original_max_position_embeddings: context.nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  beta_fast: positive.nullish(),
  beta_slow: positive.nullish(),
  truncate: z.boolean().nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  attention_factor: positive.nullish(),
  short_factor: factors.nullish(),
  long_factor: factors.nullish(),
});
export const ropeSchema = ropeJson.nullish();
export type RopeJson = z.output<typeof ropeJson>;

export interface RopeSurroundings {
  readonly contextLength: number;
  /** From outside the rope's own keys; it takes precedence there, as in transformers. */
  readonly originalContext: number | undefined;
  readonly rotaryDim: number;
  /** For messages: the key that holds `rope`, and the file. */
  readonly key: string;
  readonly where: string;
}

/** The scaling that a configuration asks for; undefined for none. CheckpointError naming the key when it is incomplete or unknown. */
export function parseRope(rope: RopeJson, surroundings: RopeSurroundings): RopeScaling | undefined {
  const { key, where, contextLength, rotaryDim } = surroundings;
  const fail = (message: string, fix: string): never => {
    throw new CheckpointError(message, { where, fix });
  };
  const need = (name: 'factor' | 'low_freq_factor' | 'high_freq_factor'): number =>
    rope[name] ?? fail(`\`${key}.${name}\` is missing`, 'use the file that came with the model');
  const originalContext =
    surroundings.originalContext ?? rope.original_max_position_embeddings ?? contextLength;
  const kind = rope.rope_type ?? rope.type ?? 'default';
  switch (kind) {
    case 'default':
    case 'none':
      return undefined;
    case 'linear':
      return { kind, factor: need('factor') };
    case 'llama3': {
      const [lowFrequencyFactor, highFrequencyFactor] = [need('low_freq_factor'), need('high_freq_factor')];
      if (lowFrequencyFactor >= highFrequencyFactor) {
        fail(`\`${key}.low_freq_factor\` is not below \`high_freq_factor\``, 'use the file that came with the model');
      }
      return { kind, factor: need('factor'), lowFrequencyFactor, highFrequencyFactor, originalContext };
    }
    case 'yarn': {
      const factor = rope.factor ?? contextLength / originalContext;
      const magnitude = rope.attention_factor ?? yarnMagnitude(factor, rope.mscale, rope.mscale_all_dim);
      const [betaFast, betaSlow] = [rope.beta_fast ?? 32, rope.beta_slow ?? 1];
      return { kind, factor, originalContext, betaFast, betaSlow, truncate: rope.truncate ?? true, magnitude };
    }
    case 'longrope':
    case 'su': {
      const list = (name: 'short_factor' | 'long_factor'): readonly number[] => {
        const values = rope[name] ?? fail(`\`${key}.${name}\` is missing`, 'use the file that came with the model');
        if (values.length === rotaryDim / 2) return values;
        return fail(
          `\`${key}.${name}\` has ${values.length} numbers for ${rotaryDim / 2} pairs of dimensions`,
          'use the file that came with the model',
        );
      };
      const factor = rope.factor ?? contextLength / originalContext;
      const magnitude = rope.attention_factor ?? longRopeMagnitude(factor, originalContext);
      return { kind: 'longrope', shortFactors: list('short_factor'), longFactors: list('long_factor'), originalContext, magnitude };
    }
    default:
      return fail(`\`${key}\` of the type ${JSON.stringify(kind.slice(0, 40))} is not supported`, 'use a model without it');
  }
}

/** YaRN, section 3.4, with DeepSeek's factors. */
export function yarnMagnitude(factor: number, mscale?: number | null, mscaleAllDim?: number | null): number {
  const grown = (scale: number): number => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
  return mscale && mscaleAllDim ? grown(mscale) / grown(mscaleAllDim) : grown(1);
}

/** LongRoPE, section 3.3, as in Phi-3. */
export function longRopeMagnitude(factor: number, originalContext: number): number {
  return factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalContext));
}

/** The scaling as transformers' `rope_scaling`. */
export function ropeScalingJson(scaling: RopeScaling): Record<string, unknown> {
  switch (scaling.kind) {
    case 'linear':
      return { rope_type: 'linear', factor: scaling.factor };
    case 'llama3':
      return {
        rope_type: 'llama3',
        factor: scaling.factor,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalContext,
      };
    case 'yarn':
      return {
        rope_type: 'yarn',
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalContext,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        truncate: scaling.truncate,
        attention_factor: scaling.magnitude,
      };
    case 'longrope':
      return {
        rope_type: 'longrope',
        short_factor: [...scaling.shortFactors],
        long_factor: [...scaling.longFactors],
        original_max_position_embeddings: scaling.originalContext,
        attention_factor: scaling.magnitude,
      };
  }
}
