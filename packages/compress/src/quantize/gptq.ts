import type { LevelRange, NBitFormat, NBitLinear } from '@edgedesk/models';
import { groupsPerRow, levelRange, quantizedLinear } from '@edgedesk/models';
import { RuntimeFailure } from '@edgedesk/tensor';
import { inverseCholesky } from '../linear-algebra/cholesky.js';
import type { Gemm, Matrix } from '../linear-algebra/gemm.js';
import { submatrix } from '../linear-algebra/gemm.js';
import { descend } from './descend.js';
import { searchScales } from './scale-search.js';

/**
 * GPTQ (Frantar et al. 2023, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
 * algorithm 1).
 *
 *   W     weights                                        [out, in]
 *   H     mean of x x^T over the inputs x, shrunk        [in, in]
 *   Hinv  upper Cholesky factor of H^-1, H^-1 = Hinv^T Hinv
 *   Q     quantized weights                              [out, in]
 *   Err   (W - Q) / Hinv's diagonal, one column a step   [out, in]
 *
 * Column by column each weight is rounded and its error is made up for by the columns still to come. We deviate in four
 * points. H is shrunk towards its diagonal, since correlations of inputs are those of one kind of text. Columns go by falling diagonal of H (as the authors' `act_order`), but scales are fixed before, for groups of
 * neighbouring columns, so the runtime needs no `g_idx`. Scales come from an importance-weighted search. A column whose
 * input never fires keeps its weight, rounded, since other text may use it; the paper sets it to 0.
 */
export interface GptqFactor {
  /** Column quantized i-th. */
  readonly order: Uint32Array;
  /** Hinv in that order, upper triangular f32 `[in, in]`. */
  readonly Hinv: Matrix;
  /** H itself in f32, in the weight's own column order. */
  readonly H: Matrix;
  /** Its diagonal by column, `[in]`: how much an input matters. */
  readonly importance: Float32Array;
}

/** Columns rounded between two Gemm updates, as in the paper. */
const blockColumns = 128;
/**
 * Share by which elements of H off its diagonal are reduced (as in Ledoit and Wolf 2004, "A well-conditioned estimator for
 * large-dimensional covariance matrices"). On SmolLM2, calibrated on chat, a layer's output error grows by 4 % on other chat
 * and falls by 21 % on encyclopedia text, where GPTQ would otherwise have a higher perplexity than rounding.
 */
export const shrinkage = 0.2;
/** Share of H's mean diagonal added to it; raised tenfold while H is not positive definite. */
const firstDamping = 0.01;
const lastDamping = 1;

/** What all linear layers over one input share. H: `[n, n]` symmetric f64, the mean of x x^T. */
export async function factorHessian(H: Float64Array, gemm: Gemm, where: string): Promise<GptqFactor> {
  const n = Math.sqrt(H.length);
  const diagonal = Float64Array.from({ length: n }, (_, i) => H[i * n + i]!);
  const mean = diagonal.reduce((sum, x) => sum + x, 0) / n;
  // Inputs that are all zero say nothing: every column is as dead as the others.
  const unit = mean > 0 ? mean : 1;
  for (let damping = firstDamping; damping <= lastDamping; damping *= 10) {
    const importance = Float32Array.from(diagonal, (x) => (x === 0 ? unit : x) + damping * unit);
    const order = Uint32Array.from({ length: n }, (_, i) => i).sort(
      (a, b) => diagonal[b]! - diagonal[a]! || a - b,
    );
    const shrunk: Matrix = { rows: n, columns: n, data: new Float32Array(n * n) };
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        shrunk.data[i * n + j] = i === j ? importance[i]! : (1 - shrinkage) * H[i * n + j]!;
      }
    }
    // With the order reversed, H = R R^T for an upper R, and Hinv = R^-1: no inverse and second factorization.
    const reversed: Matrix = { rows: n, columns: n, data: new Float32Array(n * n) };
    for (let i = 0; i < n; i++) {
      const row = order[n - 1 - i]!;
      for (let j = 0; j <= i; j++) {
        reversed.data[i * n + j] = shrunk.data[row * n + order[n - 1 - j]!]!;
      }
    }
    const inverse = await inverseCholesky(reversed, gemm);
    if (inverse === null) continue;
    // Turning both axes around is reading the elements backwards.
    return { order, importance, H: shrunk, Hinv: { ...inverse, data: inverse.data.reverse() } };
  }
  throw new RuntimeFailure('the inputs that were measured are too uneven to quantize by', {
    where,
    fix: 'calibrate with more text',
  });
}

/** How often coordinate descent goes over a layer after GPTQ: a third time gains little. */
const descentSweeps = 2;

/**
 * GPTQ and then coordinate descent from where it ends: 9 % less error of the layers' outputs on average at 4 bits, on text
 * that was not calibrated on. As `gptq` otherwise.
 */
export async function gptqWithDescent(...layer: Parameters<typeof gptq>): Promise<NBitLinear> {
  const [W, , , factor, gemm] = layer;
  return descend(W, await gptq(...layer), factor.H, gemm, descentSweeps);
}

/** Quantizes `W`, `[out, in]` row-major f32, which is left as it is. CheckpointError when a scale exceeds binary16. */
export async function gptq(
  W: Float32Array,
  shape: readonly [number, number],
  format: NBitFormat,
  factor: GptqFactor,
  gemm: Gemm,
  where: string,
): Promise<NBitLinear> {
  const [rows, columns] = shape;
  const { groupSize } = format;
  const { order, Hinv } = factor;
  const grids = searchScales(W, shape, format, factor.importance, where);
  const levels = new Uint8Array(rows * columns);
  /** Err^T: what is done so far is its first rows, contiguous. */
  const errors = new Float32Array(columns * rows);
  for (let start = 0; start < columns; start += blockColumns) {
    const end = Math.min(columns, start + blockColumns);
    let block = pickColumns(W, rows, columns, order.subarray(start, end));
    if (start > 0) {
      const done: Matrix = { rows: start, columns: rows, data: errors.subarray(0, start * rows) };
      block = await gemm.multiply('c-atb', done, submatrix(Hinv, 0, start, start, end), block);
    }
    roundBlock(block, errors.subarray(start * rows, end * rows), {
      levels,
      columns,
      order: order.subarray(start, end),
      Hinv: Float64Array.from(submatrix(Hinv, start, end, start, end).data),
      range: levelRange(format),
      groupSize,
      scales: grids.scales,
      zeroPoints: grids.zeroPoints,
    });
  }
  return quantizedLinear(shape, format, levels, grids);
}

function pickColumns(W: Float32Array, rows: number, columns: number, order: Uint32Array): Matrix {
  const width = order.length;
  const data = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < width; i++) data[row * width + i] = W[row * columns + order[i]!]!;
  }
  return { rows, columns: width, data };
}

interface BlockTarget {
  /** `[rows, columns]`, in the weight's own column order. */
  readonly levels: Uint8Array;
  readonly columns: number;
  readonly order: Uint32Array;
  /** The block on Hinv's diagonal. */
  readonly Hinv: Float64Array;
  readonly range: LevelRange;
  readonly groupSize: number;
  readonly scales: Float32Array;
  readonly zeroPoints: Uint8Array | undefined;
}

/** Rounds the columns of a block one after another, row by row; `Err`: `[width, rows]` is filled. */
function roundBlock(block: Matrix, Err: Float32Array, target: BlockTarget): void {
  const { levels, columns, order, Hinv, range, groupSize, scales, zeroPoints } = target;
  const { rows, columns: width, data } = block;
  const groups = groupsPerRow(columns, groupSize);
  const { lowest, highest, middle } = range;
  const w = new Float64Array(width);
  for (let row = 0; row < rows; row++) {
    w.set(data.subarray(row * width, (row + 1) * width));
    for (let i = 0; i < width; i++) {
      const column = order[i]!;
      const at = row * groups + Math.floor(column / groupSize);
      const scale = scales[at]!;
      const zero = zeroPoints === undefined ? middle : zeroPoints[at]!;
      const shifted = scale === 0 ? zero : w[i]! / scale + zero + 0.5;
      const level = shifted <= lowest ? lowest : shifted >= highest ? highest : Math.floor(shifted);
      levels[row * columns + column] = level;
      const d = i * width;
      const err = (w[i]! - (level - zero) * scale) / Hinv[d + i]!;
      Err[i * rows + row] = err;
      for (let j = i + 1; j < width; j++) w[j]! -= err * Hinv[d + j]!;
    }
  }
}
