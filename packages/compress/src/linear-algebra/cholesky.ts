import type { Gemm, Matrix } from './gemm.js';
import { setSubmatrix, submatrix } from './gemm.js';

/** Columns factored at a time in f64; everything off the diagonal blocks is Gemm. */
const block = 128;

/**
 * L^-1 of the Cholesky factorization A = L L^T, lower triangular, or null when A is not positive definite in this
 * precision. `a`: symmetric `[n, n]`, only its lower triangle is read.
 *
 * Blocked and left-looking: diagonal blocks are factored and inverted in f64, panels are f32 products. The inverse of
 * the factor costs as much as the factor itself, a third of inverting A.
 */
export async function inverseCholesky(a: Matrix, gemm: Gemm): Promise<Matrix | null> {
  const n = a.rows;
  const factor: Matrix = { rows: n, columns: n, data: new Float32Array(n * n) };
  const inverse: Matrix = { rows: n, columns: n, data: new Float32Array(n * n) };
  for (let start = 0; start < n; start += block) {
    const end = Math.min(n, start + block);
    const width = end - start;
    let panel = submatrix(a, start, n, start, end);
    const rowsOfBlock = submatrix(factor, start, end, 0, start);
    if (start > 0) {
      panel = await gemm.multiply('c-abt', submatrix(factor, start, n, 0, start), rowsOfBlock, panel);
    }
    const diagonal = invertDiagonal(panel.data, width);
    if (diagonal === null) return null;
    const inverted: Matrix = { rows: width, columns: width, data: Float32Array.from(diagonal) };
    setSubmatrix(inverse, start, start, inverted);
    if (end < n) {
      const below = submatrix(panel, width, n - start, 0, width);
      setSubmatrix(factor, end, start, await gemm.multiply('abt', below, inverted));
    }
    if (start > 0) {
      // Rows of the inverse left of the diagonal: -L_bb^-1 (L_b,0:b L^-1_0:b,0:b). L_bb itself is never needed again.
      const solved = submatrix(inverse, 0, start, 0, start);
      const product = await gemm.multiply('ab', rowsOfBlock, solved);
      setSubmatrix(inverse, start, 0, await gemm.multiply('-ab', inverted, product));
    }
  }
  return inverse;
}

/** The inverse of the Cholesky factor of the symmetric matrix in the first `n` rows of `data`, `[n, n]` f64. */
function invertDiagonal(data: Float32Array, n: number): Float64Array | null {
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = data[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= l[i * n + k]! * l[j * n + k]!;
      if (i !== j) l[i * n + j] = sum / l[j * n + j]!;
      else if (sum > 0 && Number.isFinite(sum)) l[i * n + i] = Math.sqrt(sum);
      else return null;
    }
  }
  const inverse = new Float64Array(n * n);
  for (let j = 0; j < n; j++) {
    inverse[j * n + j] = 1 / l[j * n + j]!;
    for (let i = j + 1; i < n; i++) {
      let sum = 0;
      for (let k = j; k < i; k++) sum -= l[i * n + k]! * inverse[k * n + j]!;
      inverse[i * n + j] = sum / l[i * n + i]!;
    }
  }
  return inverse;
}
