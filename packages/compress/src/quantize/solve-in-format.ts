import type { NBitFormat, NBitLinear } from '@edgedesk/models';
import type { Gemm } from '../linear-algebra/gemm.js';
import { factorHessian, gptqWithDescent } from './gptq.js';
import { roundToGrids } from './grid.js';
import { importanceOf } from './importance.js';
import { roundToNearest } from './round-to-nearest.js';
import { searchScales } from './scale-search.js';

/** How levels are found: rounding, rounding with searched scales, or GPTQ. */
export type GroupMethod = 'rtn' | 'search' | 'gptq';

/** weight: `[out, in]` row-major f32, not kept; rows do not depend on one another. */
export type SolveInFormat = (
  weight: Float32Array,
  shape: readonly [number, number],
  format: NBitFormat,
  where: string,
) => Promise<NBitLinear>;

/** Quantizes layers over one input by `method`. H: the second moment of that input, `[in, in]`. */
export async function solverFor(
  method: GroupMethod,
  H: Float64Array,
  gemm: Gemm,
  where: string,
): Promise<SolveInFormat> {
  switch (method) {
    case 'rtn':
      return (...layer) => Promise.resolve(roundToNearest(...layer));
    case 'search':
      return searching(importanceOf(diagonalOf(H)));
    case 'gptq': {
      const factor = await factorHessian(H, gemm, where);
      return (weight, shape, format, name) => gptqWithDescent(weight, shape, format, factor, gemm, name);
    }
  }
}

/** The solver of `rtn` and `search` where only the mean squares of the inputs are known. */
export function diagonalSolver(method: GroupMethod, meanSquares: Float32Array): SolveInFormat {
  if (method === 'rtn') return (...layer) => Promise.resolve(roundToNearest(...layer));
  return searching(importanceOf(meanSquares));
}

const searching =
  (importance: Float32Array): SolveInFormat =>
  (weight, shape, format, where) =>
    Promise.resolve(
      roundToGrids(weight, shape, format, searchScales(weight, shape, format, importance, where)),
    );

export function diagonalOf(H: Float64Array): Float32Array {
  const n = Math.sqrt(H.length);
  return Float32Array.from({ length: n }, (_, i) => H[i * n + i]!);
}
