/**
 * Learning rates as a share of the peak. Progress is a fraction of the whole budget, whichever unit it is counted in
 * (steps, tokens or time), so one schedule serves all three.
 */
export interface ScheduleOptions {
  /**
   * `constant` after warm-up; `cosine` to the floor (Loshchilov & Hutter 2017); `wsd`: warm-up, stable, decay
   * (Hu et al. 2024, MiniCPM).
   */
  readonly kind: 'constant' | 'cosine' | 'wsd';
  /** Share of the budget over which the rate rises linearly from 0. */
  readonly warmup: number;
  /** `wsd`: share of the budget at the end over which the rate falls. */
  readonly decay: number;
  /** `wsd`: how it falls; `1-sqrt` is Hägele et al. 2024. */
  readonly shape: 'linear' | '1-sqrt';
  /** Where it ends, as a share of the peak. */
  readonly floor: number;
}

export const scheduleDefaults: ScheduleOptions = {
  kind: 'wsd',
  warmup: 0.02,
  decay: 0.2,
  shape: '1-sqrt',
  floor: 0.05,
};

/** Share of the peak learning rate at `progress` (0 at the start, 1 at the end of the budget). */
export function scheduleAt(options: ScheduleOptions, progress: number): number {
  const { kind, warmup, decay, shape, floor } = options;
  const p = Math.min(1, Math.max(0, progress));
  if (p < warmup) return p / warmup;
  switch (kind) {
    case 'constant':
      return 1;
    case 'cosine': {
      const q = warmup >= 1 ? 1 : (p - warmup) / (1 - warmup);
      return floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * q));
    }
    case 'wsd': {
      const start = 1 - decay;
      if (p <= start) return 1;
      const q = (p - start) / decay;
      return floor + (1 - floor) * (shape === 'linear' ? 1 - q : 1 - Math.sqrt(q));
    }
  }
}
