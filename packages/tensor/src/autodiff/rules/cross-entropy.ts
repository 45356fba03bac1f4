import * as op from '../../graph/operators.js';
import type { Value } from '../../graph/value.js';
import { sizeAt } from '../../graph/value.js';
import type { PrimitiveAttributes, Rule } from '../rule.js';
import { chunkSizes, finishChunk, headVjp, type HeadGradients } from './chunked-head.js';

/**
 * Vocabulary head and cross-entropy together, `chunk` rows at a time. The gradients are made in the forward pass while
 * a chunk's probabilities exist, so no `[n, v]` tensor outlives its chunk:
 * dx = w (p E - E[target]), dE = p^T (w x) - scatter(target, w x).
 */
export const crossEntropy: Rule<PrimitiveAttributes['crossEntropy']> = {
  forward: (g, [x, head], { targets, weights, chunk }) => {
    const rows = sizeAt(x!, 0);
    const vocab = sizeAt(head!, 0);
    const sizes = chunkSizes(rows, chunk);
    const xs = op.split(g, x!, 0, sizes);
    const ts = op.split(g, targets, 0, sizes);
    const ws = op.split(g, weights, 0, sizes);
    const losses: Value[] = [];
    const dxs: Value[] = [];
    const weighted: Value[] = [];
    let dHead: Value | null = null;
    sizes.forEach((n, i) => {
      const [xi, ti, wi] = [xs[i]!, ts[i]!, ws[i]!];
      const p = op.softmax(g, op.gemm(g, xi, head!, null, { transposeB: true }));
      const pt = op.gatherElements(g, p, op.reshape(g, ti, [n, 1]));
      // p can underflow to 0 for a hopeless target; the smallest normal number keeps the loss finite.
      const safe = g.node('Max', [pt, g.scalar(1.2e-38)], op.like(pt));
      losses.push(op.reduceSum(g, op.mul(g, op.log(g, safe), wi), [0, 1], false));
      if (x!.differentiable) {
        dxs.push(op.mul(g, op.sub(g, op.gemm(g, p, head!, null), op.gather(g, head!, ti)), wi));
      }
      if (head!.differentiable) {
        const xw = op.mul(g, xi, wi);
        weighted.push(xw);
        dHead = op.gemm(g, p, xw, dHead, { transposeA: true });
      }
      if (sizes.length > 1) finishChunk(g, i, [losses[i]!, ...dxs.slice(i), ...(dHead ? [dHead] : [])]);
    });
    const saved: HeadGradients = {
      dx: dxs.length ? op.concat(g, dxs, 0) : null,
      dHead: dHead as Value | null,
      targetRows: weighted.length ? op.neg(g, op.concat(g, weighted, 0)) : null,
    };
    if (dHead && sizeAt(dHead, 0) !== vocab) throw new Error('head gradient lost its rows');
    return { output: op.neg(g, op.sum(g, losses)), saved };
  },
  vjp: headVjp,
};
