import type { NBitFormat } from '@edgedesk/models';
import { toDense } from '@edgedesk/models';
import type { Gemm, Matrix } from '../linear-algebra/gemm.js';
import { outputError, spreadRows } from '../mixed/weight-error.js';
import { roundToNearest } from '../quantize/round-to-nearest.js';
import type { ScaleSite } from './scaled-block.js';

/** Exponents tried, from 0 (no scaling) up to 1. */
const gridSteps = 20;
/** Share of the mean added to each input's mean square: a channel that never fires gets no extreme factor. */
const floor = 1e-4;
/** Rows of a weight that the error is computed on; rows do not depend on one another. */
const sampledRows = 128;

/** A layer over the site's input. */
export interface Reader {
  /** `[out, in]` */
  readonly weight: Float32Array;
  readonly shape: readonly [number, number];
}

/**
 * AWQ's factors for one site (Lin et al. 2024, "AWQ: Activation-aware Weight Quantization for LLM Compression and
 * Acceleration", equations 4 and 5).
 *
 *   s_X    root of the mean square of each channel of the input   [channels]
 *   s      s_X^alpha, around 1                                    [channels]
 *   H      second moment of the input                             [in, in]
 *
 * alpha is the one whose quantized layers Q(W diag(s)) diag(s)^-1 have the least error of their outputs, tr(D H D^T). We
 * deviate in two points: s_X is a root mean square instead of a mean magnitude, since H holds it, and the error follows
 * from H, so that the text need not run again for each alpha. Alpha 0 is among them: never worse than no scaling, by this
 * error. `where` names the block in errors.
 */
export async function searchAwqScales(
  site: ScaleSite,
  readers: readonly Reader[],
  H: Matrix,
  format: NBitFormat,
  gemm: Gemm,
  where: string,
): Promise<Float32Array> {
  const s_X = channelMagnitudes(site, H);
  const samples = readers.map(({ weight, shape }) => ({
    W: spreadRows(weight, shape, sampledRows),
    rows: shape[0],
  }));
  let best: Float32Array = new Float32Array(site.channels).fill(1);
  let least = Infinity;
  for (let step = 0; step < gridSteps; step++) {
    const s = powers(s_X, step / gridSteps);
    const columns = Float32Array.from({ length: H.rows }, (_, column) => s[site.channelOf(column)]!);
    let error = 0;
    for (const { W, rows } of samples) {
      const D = scaledError(W, columns, format, where);
      error += (await outputError(D, H, gemm)) * (rows / W.rows);
    }
    if (error >= least) continue;
    least = error;
    best = s;
  }
  return best;
}

/** Q(W diag(s)) diag(s)^-1 - W */
function scaledError(W: Matrix, s: Float32Array, format: NBitFormat, where: string): Matrix {
  const { rows, columns, data } = W;
  const scaled = data.map((w, i) => w * s[i % columns]!);
  const D = toDense(roundToNearest(scaled, [rows, columns], format, where));
  for (let i = 0; i < D.length; i++) D[i] = D[i]! / s[i % columns]! - data[i]!;
  return { rows, columns, data: D };
}

function channelMagnitudes({ channels, channelOf }: ScaleSite, H: Matrix): Float64Array {
  const squares = new Float64Array(channels);
  const counts = new Float64Array(channels);
  for (let column = 0; column < H.rows; column++) {
    squares[channelOf(column)]! += H.data[column * H.columns + column]!;
    counts[channelOf(column)]! += 1;
  }
  const means = squares.map((sum, i) => sum / counts[i]!);
  const mean = means.reduce((a, b) => a + b, 0) / channels;
  return means.map((x) => (mean > 0 ? Math.sqrt(x + floor * mean) : 1));
}

/** s_X^alpha, its smallest and largest factor as far from 1. */
function powers(s_X: Float64Array, alpha: number): Float32Array {
  const raised = s_X.map((x) => x ** alpha);
  const middle = Math.sqrt(raised.reduce((a, b) => Math.max(a, b)) * raised.reduce((a, b) => Math.min(a, b)));
  return Float32Array.from(raised, (x) => x / middle);
}
