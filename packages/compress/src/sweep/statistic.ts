import type { Graph, Value } from '@edgedesk/tensor';
import { op } from '@edgedesk/tensor';

/**
 * What an algorithm wants to know about the inputs of a linear layer: a sum over tokens that is lowered into the graph,
 * so that the activations never leave it.
 */
export interface Statistic<S> {
  /** The sum over the rows of x `[tokens, columns]`, `[n]` in the statistic's own layout. */
  lower(g: Graph, x: Value): Value;
  /** Length of that sum. */
  size(columns: number): number;
  /** The statistic from the sum over all `tokens`. */
  finish(sum: Float64Array, columns: number, tokens: number): S;
}

/** Mean of each column's square, `[columns]` f32. */
export const meanSquare: Statistic<Float32Array> = {
  lower: (g, x) => op.reduceSum(g, op.mul(g, x, x), [0], false),
  size: (columns) => columns,
  finish: (sum, _columns, tokens) => Float32Array.from(sum, (s) => s / tokens),
};

/** Columns of one product; the narrower, the less of the symmetric half is computed twice. */
const stripColumns = 192;

function* strips(columns: number): Generator<{ start: number; end: number; offset: number }> {
  let offset = 0;
  for (let start = 0; start < columns; start += stripColumns) {
    const end = Math.min(columns, start + stripColumns);
    yield { start, end, offset };
    offset += (end - start) * (columns - start);
  }
}

/**
 * Mean of x x^T over the tokens, `[columns, columns]` f64 (GPTQ's H up to a factor). The sum holds the upper triangle in
 * strips of rows, each from its diagonal to the right.
 */
export const secondMoment: Statistic<Float64Array> = {
  lower: (g, x) => {
    const columns = x.shape[1] as number;
    const parts = [...strips(columns)].map(({ start, end }) => {
      const left = op.slice(g, x, 1, start, end);
      const right = op.slice(g, x, 1, start, columns);
      const product = op.gemm(g, left, right, null, { transposeA: true });
      return op.reshape(g, product, [(end - start) * (columns - start)]);
    });
    return op.concat(g, parts, 0);
  },
  size: (columns) => {
    let size = 0;
    for (const { start, end } of strips(columns)) size += (end - start) * (columns - start);
    return size;
  },
  finish: (sum, columns, tokens) => {
    const H = new Float64Array(columns * columns);
    for (const { start, end, offset } of strips(columns)) {
      const width = columns - start;
      for (let i = start; i < end; i++) {
        for (let j = i; j < columns; j++) {
          const mean = sum[offset + (i - start) * width + (j - start)]! / tokens;
          H[i * columns + j] = H[j * columns + i] = mean;
        }
      }
    }
    return H;
  },
};
