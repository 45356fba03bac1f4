import { seededRandom } from './random.js';

/** A figure of a choice of rows, each possibly repeated. NaN when the choice does not determine it. */
export type Estimate = (rows: Uint32Array) => number;

/** Lower and upper bound. */
export type Interval = readonly [number, number];

export interface BootstrapOptions {
  /** @default 1000 */
  readonly resamples?: number;
  /** @default 0.95 */
  readonly confidence?: number;
  /** @default 1 */
  readonly seed?: number;
}

/**
 * Percentile interval of `estimate` over resamples of `count` rows drawn with replacement, or null when fewer than two
 * rows or fewer than half of the resamples determine it.
 * Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3.
 */
export function bootstrapInterval(
  count: number,
  estimate: Estimate,
  options: BootstrapOptions = {},
): Interval | null {
  const { resamples = 1000, confidence = 0.95, seed = 1 } = options;
  if (count < 2) return null;
  const random = seededRandom(seed);
  const rows = new Uint32Array(count);
  const values: number[] = [];
  for (let b = 0; b < resamples; b++) {
    for (let i = 0; i < count; i++) rows[i] = Math.floor(random() * count);
    const value = estimate(rows);
    if (Number.isFinite(value)) values.push(value);
  }
  if (values.length * 2 < resamples) return null;
  values.sort((a, b) => a - b);
  const tail = (1 - confidence) / 2;
  return [quantile(values, tail), quantile(values, 1 - tail)];
}

/** Linear interpolation between order statistics (type 7 of Hyndman and Fan). `sorted` is ascending and not empty. */
export function quantile(sorted: readonly number[], q: number): number {
  const place = (sorted.length - 1) * q;
  const low = Math.floor(place);
  const high = Math.ceil(place);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (place - low);
}
