import * as op from '../../graph/operators.js';
import type { Graph } from '../../graph/graph.js';
import type { Value } from '../../graph/value.js';
import { staticShape } from '../../graph/value.js';
import type { PrimitiveAttributes, Rule } from '../rule.js';

interface Block {
  /** First and past-the-end query of the block; it sees keys 0..end. */
  readonly start: number;
  readonly end: number;
  /** `[b, kv, g * n, hd]`: the query heads of a group stacked along the rows. */
  readonly q: Value;
  /** `[b, kv, end, hd]` */
  readonly k: Value;
  readonly v: Value;
  /** Probabilities `[b, kv, g * n, end]`. */
  readonly p: Value;
  /** `[b, kv, g * n, hd]` */
  readonly o: Value;
}

/**
 * Causal grouped-query attention (Ainslie et al. 2023), softmax(scale q k^T + mask) v. Queries go in `blocks`
 * blocks and a block reads only the keys up to its end, which saves almost half of the square. The backward pass uses
 * rowsum(dO * O) for the softmax's row term (Dao et al. 2022).
 */
export const attention: Rule<PrimitiveAttributes['attention']> = {
  forward: (g, [q, k, v], { mask, blocks, scale }) => {
    const [b, h, s, hd] = staticShape(q!) as [number, number, number, number];
    const kv = staticShape(k!)[1]!;
    const alpha = scale ?? 1 / Math.sqrt(hd);
    const count = s % blocks === 0 ? blocks : 1;
    const n = s / count;
    const parts = Array.from({ length: count }, (_, i): Block => {
      const [start, end] = [i * n, (i + 1) * n];
      const qi = op.reshape(g, op.slice(g, q!, 2, start, end), [b, kv, (h / kv) * n, hd]);
      const ki = op.slice(g, k!, 2, 0, end);
      const vi = op.slice(g, v!, 2, 0, end);
      const scores = op.reshape(g, op.matmul(g, qi, ki, { transposeB: true, alpha }), [b, h, n, end]);
      const masked = op.add(g, scores, op.slice(g, op.slice(g, mask, 2, start, end), 3, 0, end));
      const p = op.reshape(g, op.softmax(g, masked), [b, kv, (h / kv) * n, end]);
      return { start, end, q: qi, k: ki, v: vi, p, o: op.matmul(g, p, vi) };
    });
    const output = op.concat(
      g,
      parts.map((part) => op.reshape(g, part.o, [b, h, n, hd])),
      2,
    );
    return { output, saved: parts };
  },
  vjp: (g, dy, { inputs: [q, k, v], attributes, saved }) => {
    const [b, h, , hd] = staticShape(q!) as [number, number, number, number];
    const kv = staticShape(k!)[1]!;
    const alpha = attributes.scale ?? 1 / Math.sqrt(hd);
    const parts = saved as Block[];
    const n = parts[0]!.end;
    const flows = parts.map((part) => {
      const dO = op.reshape(g, op.slice(g, dy, 2, part.start, part.end), [b, kv, (h / kv) * n, hd]);
      const dv = op.matmul(g, part.p, dO, { transposeA: true });
      const delta = op.reduceSum(g, op.mul(g, dO, part.o), [3]);
      const dp = op.matmul(g, dO, part.v, { transposeB: true });
      const ds = op.mul(g, op.sub(g, dp, delta), part.p);
      const dq = op.reshape(g, op.matmul(g, ds, part.k, { alpha }), [b, h, n, hd]);
      return { dq, dv, dk: op.matmul(g, ds, part.q, { transposeA: true, alpha }) };
    });
    return [
      op.concat(
        g,
        flows.map((f) => f.dq),
        2,
      ),
      k!.differentiable
        ? joinKeys(
            g,
            flows.map((f) => f.dk),
            n,
          )
        : null,
      v!.differentiable
        ? joinKeys(
            g,
            flows.map((f) => f.dv),
            n,
          )
        : null,
    ];
  },
};

/** Sum of gradients over growing key ranges: part i is `[b, kv, (i + 1) n, hd]`. */
function joinKeys(g: Graph, parts: readonly Value[], n: number): Value {
  const pieces = parts.map((part, i) => op.split(g, part, 2, Array<number>(i + 1).fill(n)));
  const columns = parts.map((_, j) =>
    op.sum(
      g,
      pieces.slice(j).map((row) => row[j]!),
    ),
  );
  return op.concat(g, columns, 2);
}
