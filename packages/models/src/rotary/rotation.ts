import type { DecoderConfig } from '../config.js';
import { isLocal } from '../config.js';
import { frequencyDivisors } from './rope-scaling.js';

/** How a layer's queries and keys turn with their position (Su et al., RoFormer, 2021, section 3.2.2). */
export interface Rotation {
  /** Equal for layers that rotate alike. */
  readonly name: 'rotary' | 'rotary.local';
  /** Radians a position for each pair of dimensions: `[rotaryDim / 2]`. */
  readonly frequencies: readonly number[];
  /** Factor of cos and sin. */
  readonly magnitude: number;
  /** Frequencies of all positions of a text longer than `positions`. */
  readonly beyond: { readonly positions: number; readonly frequencies: readonly number[] } | null;
}

/** Leading dimensions of a head that are rotated. */
export function rotaryDimOf(config: Pick<DecoderConfig, 'headDim' | 'rotaryDim'>): number {
  return config.rotaryDim ?? config.headDim;
}

/** The rotation of a layer, in double precision. */
export function rotationOf(config: DecoderConfig, layer: number): Rotation {
  const rotaryDim = rotaryDimOf(config);
  const plain = (theta: number): number[] =>
    Array.from({ length: rotaryDim / 2 }, (_, i) => theta ** ((-2 * i) / rotaryDim));
  const ownTheta = isLocal(config, layer) ? config.local?.ropeTheta : undefined;
  if (ownTheta !== undefined) {
    return { name: 'rotary.local', frequencies: plain(ownTheta), magnitude: 1, beyond: null };
  }
  const base = plain(config.ropeTheta);
  const { ropeScaling: scaling } = config;
  if (scaling === undefined) return { name: 'rotary', frequencies: base, magnitude: 1, beyond: null };
  const over = (divisors: readonly number[]): number[] => base.map((frequency, i) => frequency / divisors[i]!);
  const frequencies = over(frequencyDivisors(scaling, config.ropeTheta, rotaryDim));
  if (scaling.kind !== 'longrope') {
    const magnitude = scaling.kind === 'yarn' ? scaling.magnitude : 1;
    return { name: 'rotary', frequencies, magnitude, beyond: null };
  }
  const { longFactors, shortFactors, originalContext: positions, magnitude } = scaling;
  const changes = positions < config.contextLength && longFactors.some((factor, i) => factor !== shortFactors[i]);
  return {
    name: 'rotary',
    frequencies,
    magnitude,
    beyond: changes ? { positions, frequencies: over(longFactors) } : null,
  };
}

/**
 * cos and sin of position times frequency, times the magnitude, each `[positions, rotaryDim / 2]`, computed in double precision, for a
 * text of `positions` tokens.
 */
export function rotaryTables(
  { frequencies: short, magnitude, beyond }: Rotation,
  positions: number,
): { cos: Float32Array<ArrayBuffer>; sin: Float32Array<ArrayBuffer> } {
  const frequencies = beyond !== null && positions > beyond.positions ? beyond.frequencies : short;
  const half = frequencies.length;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      cos[p * half + i] = magnitude * Math.cos(p * frequencies[i]!);
      sin[p * half + i] = magnitude * Math.sin(p * frequencies[i]!);
    }
  }
  return { cos, sin };
}
