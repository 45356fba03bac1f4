import * as op from '../../graph/operators.js';
import type { Graph } from '../../graph/graph.js';
import type { Value } from '../../graph/value.js';
import type { Rule } from '../rule.js';

/** What a vocabulary head with its loss keeps of the forward pass, where its gradients are made; null where not asked for. */
export interface HeadGradients {
  /** d loss / d x, `[n, d]`. */
  readonly dx: Value | null;
  /** d loss / d head but for what falls on the targets' rows, `[v, d]`. */
  readonly dHead: Value | null;
  /** To be added to the head's rows at the targets, `[n, d]`. */
  readonly targetRows: Value | null;
}

/** Rows of each chunk. */
export const chunkSizes = (rows: number, chunk: number): number[] =>
  Array.from({ length: Math.ceil(rows / chunk) }, (_, i) => Math.min(chunk, rows - i * chunk));

/** The gradients that the forward pass has made, times that of the loss. */
export const headVjp: Rule<{ readonly targets: Value }>['vjp'] = (
  g,
  dy,
  { inputs: [x, head], attributes: { targets }, saved },
) => {
  const { dx, dHead, targetRows } = saved as HeadGradients;
  const scaled = (value: Value) => (dy.name === g.one.name ? value : op.mul(g, value, dy));
  if (!head!.differentiable) return [x!.differentiable ? scaled(dx!) : null, null];
  const dense = op.scatterAdd(g, scaled(dHead!), targets, scaled(targetRows!));
  return [x!.differentiable ? scaled(dx!) : null, dense];
};

/**
 * A tiny extra output that depends on everything a chunk produces. ONNX Runtime visits graph outputs in turn, so it
 * finishes this chunk, and frees its probabilities, before it starts the next.
 */
export function finishChunk(g: Graph, index: number, results: readonly Value[]): void {
  const cut = (x: Value): Value =>
    x.shape.length === 0
      ? op.reshape(g, x, [1])
      : op.reshape(g, op.slice(g, op.slice(g, x, 0, 0, 1), 1, 0, 1), [1]);
  g.output(op.concat(g, results.map(cut), 0), `${g.scope}chunk_${index}_done`);
}
