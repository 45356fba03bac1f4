import { toDense } from '@edgedesk/models';
import type { Gemm, Matrix } from '../linear-algebra/gemm.js';
import type { WeightFormat } from '../quantize/settings.js';
import { nbitFormat } from '../quantize/settings.js';
import type { SolveInFormat } from '../quantize/solve-in-format.js';

/** A weight that was quantized alone: what came of the probe's residual stream, and its error in each format. */
export interface Effect {
  readonly name: string;
  readonly bits: number;
  stream: Float32Array;
  /** In the formats' order, in units of the error that led to the stream. */
  readonly relativeErrors: readonly number[];
}

/** About `count` rows spread over `weight`, `[out, in]`, all where it has no more. */
export function spreadRows(
  weight: Float32Array,
  [rows, columns]: readonly [number, number],
  count: number,
): Matrix {
  if (rows <= count) return { rows, columns, data: weight };
  const data = new Float32Array(count * columns);
  for (let i = 0; i < count; i++) {
    const at = Math.floor((i * rows) / count) * columns;
    data.set(weight.subarray(at, at + columns), i * columns);
  }
  return { rows: count, columns, data };
}

/** What quantizing `weight` in `format` changes: quantized less original, `[out, in]`. */
export async function quantizationError(
  weight: Matrix,
  solve: SolveInFormat,
  format: WeightFormat,
  where: string,
): Promise<Matrix> {
  const { rows, columns, data } = weight;
  const D = toDense(await solve(data, [rows, columns], nbitFormat(format), where));
  for (let i = 0; i < D.length; i++) D[i]! -= data[i]!;
  return { rows, columns, data: D };
}

/** tr(D H D^T): the expected squared error of the outputs x D^T on inputs x whose second moment is H. */
export async function outputError(D: Matrix, H: Matrix, gemm: Gemm): Promise<number> {
  const { data } = await gemm.multiply('ab', D, H);
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! * D.data[i]!;
  return Math.max(0, sum);
}

/** The same for a diagonal H: each column's squares counted `importance` times. */
export function weightedError({ columns, data }: Matrix, importance: Float32Array | null): number {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! * data[i]! * (importance?.[i % columns] ?? 1);
  return sum;
}

/** The error in each format in units of that at `unit`. */
export async function relativeErrors(
  formats: readonly WeightFormat[],
  unit: WeightFormat,
  errorIn: (format: WeightFormat) => Promise<number>,
): Promise<number[]> {
  const one = await errorIn(unit);
  const errors: number[] = [];
  // Without an error to compare with there is none to carry over: the weight lies on the grid.
  for (const format of formats) errors.push(one === 0 ? 0 : (await errorIn(format)) / one);
  return errors;
}
