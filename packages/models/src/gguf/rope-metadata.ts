import { type ByteSource, CheckpointError, elementCount } from '@edgedesk/tensor';
import type { DecoderConfig } from '../config.js';
import { yarnMagnitude } from '../hf-config/parse-rope.js';
import { frequencyDivisors } from '../rotary/rope-scaling.js';
import { rotaryDimOf } from '../rotary/rotation.js';
import type { MetadataEntry } from './encode-metadata.js';
import { readRows } from './gguf-weights.js';
import { type Metadata, shortestReal } from './metadata.js';
import type { GgufContainer } from './read-container.js';
import { ropeTensors } from './rope-tensors.js';

/** The divisors in a file; null where it has none, or all are 1. */
export interface RopeDivisors {
  readonly always: readonly number[] | null;
  readonly short: readonly number[] | null;
  readonly long: readonly number[] | null;
}

/** Half of the widest head. */
const maxFactors = 2 ** 17;

/** Reads the divisors. */
export async function readRopeDivisors(source: ByteSource, { tensors }: GgufContainer): Promise<RopeDivisors> {
  const read = async (name: string): Promise<readonly number[] | null> => {
    const tensor = tensors.get(name);
    if (tensor === undefined || tensor.shape.length !== 1 || elementCount(tensor.shape) > maxFactors) return null;
    const values = Array.from(await readRows(source, tensor, null), shortestReal);
    return name === ropeTensors.always && values.every((value) => value === 1) ? null : values;
  };
  return {
    always: await read(ropeTensors.always),
    short: await read(ropeTensors.short),
    long: await read(ropeTensors.long),
  };
}

/** The scaling as transformers' `rope_scaling`; null for none. CheckpointError for a kind that we do not compute. */
export function ropeJson(
  metadata: Metadata,
  key: (name: string) => string,
  { always, short, long }: RopeDivisors,
): Record<string, unknown> | null {
  const refuse = (name: string, why: string): never => {
    throw new CheckpointError(`\`${key(name)}\` is set, and ${why}`, { where: metadata.where, fix: 'use a model without it' });
  };
  const real = (name: string): number | undefined => {
    const value = metadata.real(key(name));
    return value === undefined || value === 0 ? undefined : shortestReal(value);
  };
  const type = metadata.text(key('rope.scaling.type')) ?? 'none';
  const factor = real('rope.scaling.factor') ?? real('rope.scale_linear');
  const magnitude = real('rope.scaling.attn_factor') ?? 1;
  const original = metadata.count(key('rope.scaling.original_context_length'));
  if (short !== null || long !== null) {
    return { rope_type: 'longrope', short_factor: short, long_factor: long, attention_factor: magnitude };
  }
  if (always !== null) {
    if (type !== 'none') refuse('rope.scaling.type', `\`${ropeTensors.always}\` scales rotary positions already`);
    return { rope_type: 'longrope', short_factor: always, long_factor: always, attention_factor: 1 };
  }
  switch (type) {
    case 'none':
      return factor === undefined || factor === 1 ? null : { rope_type: 'linear', factor };
    case 'linear':
      return { rope_type: 'linear', factor };
    case 'yarn': {
      if (real('rope.scaling.yarn_log_multiplier') !== undefined) {
        refuse('rope.scaling.yarn_log_multiplier', 'that way of scaling is not supported');
      }
      return {
        rope_type: 'yarn',
        factor,
        original_max_position_embeddings: original,
        beta_fast: real('rope.scaling.yarn_beta_fast'),
        beta_slow: real('rope.scaling.yarn_beta_slow'),
        attention_factor: magnitude * yarnMagnitude(factor ?? 1),
      };
    }
    case 'longrope':
      // Phi-3's converter says this also where the file has no factors.
      return null;
    default:
      return refuse('rope.scaling.type', 'that way of scaling is not supported');
  }
}

/** Metadata of the rotation as llama.cpp reads it. CheckpointError for what it does not compute. */
export function ropeEntries(config: DecoderConfig, architecture: string, where: string): MetadataEntry[] {
  const { ropeScaling: scaling } = config;
  const f32 = (key: string, value: number): MetadataEntry => [`${architecture}.rope.${key}`, 'f32', value];
  const u32 = (key: string, value: number): MetadataEntry => [`${architecture}.rope.${key}`, 'u32', value];
  const type = (name: string): MetadataEntry => [`${architecture}.rope.scaling.type`, 'text', name];
  const entries = [u32('dimension_count', rotaryDimOf(config)), f32('freq_base', config.ropeTheta)];
  switch (scaling?.kind) {
    case undefined:
    case 'llama3':
      return entries;
    case 'linear':
      return [...entries, type('linear'), f32('scaling.factor', scaling.factor)];
    case 'yarn':
      if (!scaling.truncate) {
        throw new CheckpointError('llama.cpp rounds the ends of YaRN\'s ramp, and this model does not', {
          where,
          fix: 'run this model from the artefact',
        });
      }
      return [
        ...entries,
        type('yarn'),
        f32('scaling.factor', scaling.factor),
        u32('scaling.original_context_length', scaling.originalContext),
        f32('scaling.attn_factor', scaling.magnitude / yarnMagnitude(scaling.factor)),
        f32('scaling.yarn_beta_fast', scaling.betaFast),
        f32('scaling.yarn_beta_slow', scaling.betaSlow),
      ];
    case 'longrope':
      if (architecture !== 'phi3') {
        if (scaling.magnitude === 1 && scaling.shortFactors.every((factor, i) => factor === scaling.longFactors[i])) {
          return entries;
        }
        throw new CheckpointError(`llama.cpp does not read LongRoPE's factors in the family ${config.modelType}`, {
          where,
          fix: 'run this model from the artefact',
        });
      }
      return [
        ...entries,
        u32('scaling.original_context_length', scaling.originalContext),
        f32('scaling.attn_factor', scaling.magnitude),
      ];
  }
}

/** Tensors of divisors that belong to those metadata, by name. */
export function ropeVectors(config: DecoderConfig): ReadonlyMap<string, Float32Array> {
  const { ropeScaling: scaling } = config;
  if (scaling?.kind === 'llama3') {
    const divisors = frequencyDivisors(scaling, config.ropeTheta, rotaryDimOf(config));
    return new Map([[ropeTensors.always, Float32Array.from(divisors)]]);
  }
  if (scaling?.kind !== 'longrope') return new Map();
  const { shortFactors, longFactors } = scaling;
  if (config.modelType !== 'phi3') return new Map([[ropeTensors.always, Float32Array.from(shortFactors)]]);
  return new Map([
    [ropeTensors.long, Float32Array.from(longFactors)],
    [ropeTensors.short, Float32Array.from(shortFactors)],
  ]);
}
