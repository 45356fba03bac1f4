import type { NBitFormat, NBitLinear } from '@edgedesk/models';
import { formatOf, groupsPerRow, levelRange, toDense } from '@edgedesk/models';
import type { Gemm, Matrix } from '../linear-algebra/gemm.js';
import { submatrix } from '../linear-algebra/gemm.js';
import { toHalf } from './grid.js';

/** Columns between two Gemm updates, or one group where that is wider. */
const blockColumns = 64;

/**
 * Coordinate descent on the error of a layer's outputs from levels that another algorithm has found (Behdin et al. 2023,
 * "QuantEase: Optimization-based Quantization for Language Models").
 *
 *   W  weights                                 [out, in]
 *   H  damped mean of x x^T over the inputs x  [in, in]
 *   Q  quantized weights                       [out, in]
 *   G  (Q - W) H, half the error's gradient    [out, in]
 *
 * GPTQ never looks back: a column is rounded before the columns after it have been. Here each level moves to where the
 * error is least while all others stay, column by column, `sweeps` times. We deviate in that a group's scale moves too, once
 * its levels have, by -sum(u G) / (u^T H u) for the levels u of the group. No step makes tr((Q - W) H (Q - W)^T) larger.
 * `linear` is left as it is; zero points stay.
 */
export async function descend(
  W: Float32Array,
  linear: NBitLinear,
  H: Matrix,
  gemm: Gemm,
  sweeps: number,
): Promise<NBitLinear> {
  const [rows, columns] = linear.shape;
  const { groupSize } = linear;
  const better = { ...linear, levels: linear.levels.slice(), scales: linear.scales.slice() };
  const width = Math.ceil(blockColumns / groupSize) * groupSize;
  const difference = toDense(linear);
  for (let i = 0; i < difference.length; i++) difference[i]! -= W[i]!;
  let G = await gemm.multiply('ab', { rows, columns, data: difference }, H);
  for (let sweep = 0; sweep < sweeps; sweep++) {
    for (let start = 0; start < columns; start += width) {
      const end = Math.min(columns, start + width);
      const step = stepBlock(better, G, submatrix(H, start, end, start, end), start);
      G = await gemm.multiply('c-atb', step, submatrix(H, start, end, 0, columns), G);
    }
  }
  return better;
}

/** Moves the levels and scales of the columns from `start` on; returns what their weights lost, `[block, out]`. */
function stepBlock(linear: NBitLinear, G: Matrix, block: Matrix, start: number): Matrix {
  const { levels, scales, zeroPoints, groupSize, shape } = linear;
  const [rows, columns] = shape;
  const { lowest, highest, middle } = levelRange(formatOf(linear) as NBitFormat);
  const groups = groupsPerRow(columns, groupSize);
  const n = block.columns;
  const H = Float64Array.from(block.data);
  const lost = new Float32Array(n * rows);
  const g = new Float64Array(n);
  /** u^T H of a group's levels u. */
  const uH = new Float64Array(n);
  for (let row = 0; row < rows; row++) {
    const first = row * columns + start;
    for (let i = 0; i < n; i++) g[i] = G.data[first + i]!;
    for (let from = 0; from < n; from += groupSize) {
      const at = row * groups + (start + from) / groupSize;
      const scale = scales[at]!;
      if (scale === 0) continue;
      const to = Math.min(n, from + groupSize);
      const zero = zeroPoints?.[at] ?? middle;
      uH.fill(0);
      for (let i = from; i < to; i++) {
        const old = levels[first + i]!;
        const best = Math.floor(old - g[i]! / (H[i * n + i]! * scale) + 0.5);
        const level = best <= lowest ? lowest : best >= highest ? highest : best;
        const u = level - zero;
        for (let j = 0, h = i * n; j < n; j++, h++) uH[j]! += u * H[h]!;
        if (level === old) continue;
        levels[first + i] = level;
        const moved = (level - old) * scale;
        lost[i * rows + row]! -= moved;
        for (let j = 0, h = i * n; j < n; j++, h++) g[j]! += moved * H[h]!;
      }
      let slope = 0;
      let curvature = 0;
      for (let i = from; i < to; i++) {
        const u = levels[first + i]! - zero;
        slope += u * g[i]!;
        curvature += u * uH[i]!;
      }
      const fitted = toHalf(scale - slope / curvature);
      const change = fitted - scale;
      // Rounded to binary16 it may lie beyond the least error; NaN and infinity fail as well.
      if (fitted === 0 || !(change * (slope + (change * curvature) / 2) < 0)) continue;
      scales[at] = fitted;
      for (let j = 0; j < n; j++) g[j]! += change * uH[j]!;
      for (let i = from; i < to; i++) lost[i * rows + row]! -= change * (levels[first + i]! - zero);
    }
  }
  return { rows: n, columns: rows, data: lost };
}
