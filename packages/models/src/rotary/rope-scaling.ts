/**
 * How a family stretches its rotary frequencies beyond the length that it was first trained on. Names follow
 * transformers' `rope_scaling`; what it leaves to be computed is a number here.
 */
export type RopeScaling = LinearScaling | Llama3Scaling | YarnScaling | LongRopeScaling;

/** Position interpolation (Chen et al. 2023): all frequencies over `factor`. */
export interface LinearScaling {
  readonly kind: 'linear';
  readonly factor: number;
}

/** Llama 3.1: low frequencies over `factor`, high ones as they are, a ramp between. */
export interface Llama3Scaling {
  readonly kind: 'llama3';
  readonly factor: number;
  readonly lowFrequencyFactor: number;
  readonly highFrequencyFactor: number;
  readonly originalContext: number;
}

/** YaRN (Peng et al. 2023): as Llama 3's with the ramp over dimensions, and cos and sin times `magnitude`. */
export interface YarnScaling {
  readonly kind: 'yarn';
  readonly factor: number;
  readonly originalContext: number;
  readonly betaFast: number;
  readonly betaSlow: number;
  /** The ramp's ends are rounded outwards. */
  readonly truncate: boolean;
  readonly magnitude: number;
}

/** LongRoPE (Ding et al. 2024): each frequency over its own factor, one list up to `originalContext` and one beyond. */
export interface LongRopeScaling {
  readonly kind: 'longrope';
  /** `[rotaryDim / 2]` */
  readonly shortFactors: readonly number[];
  readonly longFactors: readonly number[];
  readonly originalContext: number;
  readonly magnitude: number;
}

/** What each frequency is divided by: `[rotaryDim / 2]`; of LongRoPE the list for short texts. */
export function frequencyDivisors(scaling: RopeScaling, theta: number, rotaryDim: number): readonly number[] {
  const half = rotaryDim / 2;
  switch (scaling.kind) {
    case 'linear':
      return new Array<number>(half).fill(scaling.factor);
    case 'llama3':
      return llama3Divisors(scaling, theta, rotaryDim);
    case 'yarn':
      return yarnDivisors(scaling, theta, rotaryDim);
    case 'longrope':
      return scaling.shortFactors;
  }
}

function llama3Divisors(scaling: Llama3Scaling, theta: number, rotaryDim: number): number[] {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
  return Array.from({ length: rotaryDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / rotaryDim);
    if (wavelength < originalContext / high) return 1;
    if (wavelength > originalContext / low) return factor;
    const smooth = (originalContext / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

/** Section 3.2: dimensions that turn more than `betaFast` times in the original context stay, those below `betaSlow` are divided. */
function yarnDivisors(scaling: YarnScaling, theta: number, rotaryDim: number): number[] {
  const { factor, originalContext, betaFast, betaSlow, truncate } = scaling;
  const dimensionOf = (turns: number): number =>
    (rotaryDim * Math.log(originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [first, last] = [dimensionOf(betaFast), dimensionOf(betaSlow)];
  const low = Math.max(truncate ? Math.floor(first) : first, 0);
  const high = Math.min(truncate ? Math.ceil(last) : last, rotaryDim - 1);
  const width = low === high ? 0.001 : high - low;
  return Array.from({ length: rotaryDim / 2 }, (_, i) => {
    const ramp = Math.min(1, Math.max(0, (i - low) / width));
    return 1 / (ramp / factor + (1 - ramp));
  });
}
