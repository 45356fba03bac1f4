import type { GroupGrids, LevelRange, NBitFormat } from '@edgedesk/models';
import { groupsPerRow, levelRange } from '@edgedesk/models';
import type { Grid } from './grid.js';
import { asymmetricGrid, checkScale, symmetricGrid, toHalf } from './grid.js';

/** Factors tried between the ends of the range, both included. */
const factorCount = 24;

/** Factors on the plain scale. Few levels gain by clipping the largest weights; 256 of them hardly, so they look closer. */
const factorRange = (bits: NBitFormat['bits']): readonly [number, number] =>
  bits === 8 ? [0.97, 1.01] : [0.55, 1.1];

/**
 * The grid of each group with the least squared error, each weight's error counted as much as its input matters.
 *
 * weight: `[out, in]` row-major f32; importance: `[in]`, the mean square of the input, positive. Tried are the grids of
 * rounding to nearest and scales between 0.55 and 1.1 times theirs (with both signs, since a symmetric grid has one more
 * negative level; with three zero points where it has one); then the scale is fitted to the levels that came out, by
 * least squares. The error is never larger than that of rounding to nearest. CheckpointError when a scale exceeds binary16.
 */
export function searchScales(
  weight: Float32Array,
  [rows, columns]: readonly [number, number],
  format: NBitFormat,
  importance: Float32Array,
  where: string,
): GroupGrids {
  const { bits, groupSize, asymmetric } = format;
  const groups = groupsPerRow(columns, groupSize);
  const scales = new Float32Array(rows * groups);
  const zeroPoints = asymmetric ? new Uint8Array(rows * groups) : undefined;
  const range = levelRange(format);
  const search = new GroupSearch(bits, range, groupSize);
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) {
      const from = group * groupSize;
      const to = Math.min(columns, from + groupSize);
      const start = row * columns + from;
      const end = row * columns + to;
      const plain = asymmetric
        ? asymmetricGrid(weight, start, end, range)
        : symmetricGrid(weight, start, end, range);
      checkScale(plain.scale, row, bits, where);
      search.load(weight.subarray(start, end), importance.subarray(from, to), plain);
      const { scale, zero } = asymmetric ? search.asymmetric() : search.symmetric();
      scales[row * groups + group] = scale;
      if (zeroPoints) zeroPoints[row * groups + group] = zero;
    }
  }
  return { scales, ...(zeroPoints ? { zeroPoints } : {}) };
}

/** Adding and subtracting it rounds a double below 2^51 to the nearest integer. */
const roundingShift = 1.5 * 2 ** 52;

/** The search in one group; its arrays are f64 so that the inner loop converts nothing. */
class GroupSearch {
  private readonly w: Float64Array;
  private readonly importance: Float64Array;
  private readonly factors: readonly number[];
  private length = 0;
  private best: Grid = { scale: 0, zero: 0 };
  private least = Infinity;

  constructor(
    bits: NBitFormat['bits'],
    private readonly range: LevelRange,
    groupSize: number,
  ) {
    this.w = new Float64Array(groupSize);
    this.importance = new Float64Array(groupSize);
    const [low, high] = factorRange(bits);
    this.factors = Array.from(
      { length: factorCount },
      (_, i) => low + ((high - low) * i) / (factorCount - 1),
    );
  }

  /** Takes a group over; `plain` is the grid to beat. */
  load(w: Float32Array, importance: Float32Array, plain: Grid): void {
    this.length = w.length;
    this.w.set(w);
    this.importance.set(importance);
    this.best = plain;
    this.least = plain.scale === 0 ? 0 : this.error(plain.scale, plain.zero);
  }

  symmetric(): Grid {
    const { zero } = this.best;
    let extreme = 0;
    for (let i = 0; i < this.length; i++) if (Math.abs(this.w[i]!) > Math.abs(extreme)) extreme = this.w[i]!;
    for (const factor of this.factors) {
      const scale = (-extreme / (zero - this.range.lowest)) * factor;
      this.consider(scale, zero);
      this.consider(-scale, zero);
    }
    this.fit();
    return this.best;
  }

  asymmetric(): Grid {
    let low = 0;
    let high = 0;
    for (let i = 0; i < this.length; i++) {
      if (this.w[i]! < low) low = this.w[i]!;
      if (this.w[i]! > high) high = this.w[i]!;
    }
    const { highest } = this.range;
    for (const factor of this.factors) {
      const scale = ((high - low) * factor) / highest;
      if (toHalf(scale) === 0) continue;
      const centred = Math.round(highest / 2 - (low + high) / 2 / scale);
      for (let zero = centred - 1; zero <= centred + 1; zero++) {
        if (zero >= 0 && zero <= highest) this.consider(scale, zero);
      }
    }
    this.fit();
    return this.best;
  }

  /** The scale that suits the levels of the best grid best, sum(i w l) / sum(i l^2), with them and with its own levels. */
  private fit(): void {
    const { scale, zero } = this.best;
    if (scale === 0) return;
    let numerator = 0;
    let denominator = 0;
    for (let i = 0; i < this.length; i++) {
      const level = this.level(this.w[i]! / scale + zero + 0.5) - zero;
      numerator += this.importance[i]! * this.w[i]! * level;
      denominator += this.importance[i]! * level * level;
    }
    if (denominator > 0) this.consider(numerator / denominator, zero);
  }

  private consider(exact: number, zero: number): void {
    const scale = toHalf(exact);
    if (scale === 0 || !Number.isFinite(scale)) return;
    const error = this.error(scale, zero);
    if (error >= this.least) return;
    this.least = error;
    this.best = { scale, zero };
  }

  private level(shifted: number): number {
    const { lowest, highest } = this.range;
    return shifted <= lowest ? lowest : shifted >= highest ? highest : Math.floor(shifted);
  }

  /** Weighted squared error. Clamped in place of branching and without an early end: nothing here is predictable. */
  private error(scale: number, zero: number): number {
    const { w, importance, length } = this;
    const inverse = 1 / scale;
    const low = this.range.lowest - zero;
    const high = this.range.highest - zero;
    let error = 0;
    for (let i = 0; i < length; i++) {
      const x = w[i]! * inverse;
      let level = x + roundingShift - roundingShift;
      level = level < low ? low : level;
      level = level > high ? high : level;
      const off = x - level;
      error += importance[i]! * off * off;
    }
    return error * scale * scale;
  }
}
