import * as op from '../../graph/operators.js';
import type { Value } from '../../graph/value.js';
import { sizeAt } from '../../graph/value.js';
import type { PrimitiveAttributes, Rule } from '../rule.js';
import { chunkSizes, finishChunk, headVjp, type HeadGradients } from './chunked-head.js';

/**
 * Vocabulary head and distillation loss together (Hinton, Vinyals & Dean 2015, at temperature 1), `chunk` rows at a time:
 *
 *   L = sum of w ((1 - a) cross-entropy + a KL(t || p)),  t = teacher's probabilities, p = ours, a = share
 *   dx = w ((p - a t) E - (1 - a) E[target]),  dE = (p - a t)^T (w x) - (1 - a) scatter(target, w x)
 *
 * As in `crossEntropy` no `[n, v]` tensor outlives its chunk: gradients are made in the forward pass.
 */
export const distillation: Rule<PrimitiveAttributes['distillation']> = {
  forward: (g, [x, head], { targets, weights, teacherHidden, teacherHead, share, chunk }) => {
    const rows = sizeAt(x!, 0);
    const sizes = chunkSizes(rows, chunk);
    const [xs, ts, ws, hs] = [x!, targets, weights, teacherHidden].map((value) =>
      op.split(g, value, 0, sizes),
    ) as [Value[], Value[], Value[], Value[]];
    const losses: Value[] = [];
    const dxs: Value[] = [];
    const weighted: Value[] = [];
    let dHead: Value | null = null;
    sizes.forEach((n, i) => {
      const [xi, ti, wi] = [xs[i]!, ts[i]!, ws[i]!];
      const logP = logSoftmax(op.gemm(g, xi, head!, null, { transposeB: true }));
      const logT = logSoftmax(op.gemm(g, hs[i]!, teacherHead, null, { transposeB: true }));
      const t = op.exp(g, logT);
      const ce = op.neg(g, op.gatherElements(g, logP, op.reshape(g, ti, [n, 1])));
      const kl = op.reduceSum(g, op.mul(g, t, op.sub(g, logT, logP)), [1]);
      const mixed = op.add(g, op.mul(g, ce, g.scalar(1 - share)), op.mul(g, kl, g.scalar(share)));
      losses.push(op.reduceSum(g, op.mul(g, mixed, wi), [0, 1], false));
      const xw = op.mul(g, xi, wi);
      const difference = op.sub(g, op.exp(g, logP), op.mul(g, t, g.scalar(share)));
      if (x!.differentiable) {
        const target = op.mul(g, op.gather(g, head!, ti), g.scalar(1 - share));
        dxs.push(op.mul(g, op.sub(g, op.gemm(g, difference, head!, null), target), wi));
      }
      if (head!.differentiable) {
        weighted.push(xw);
        dHead = op.gemm(g, difference, xw, dHead, { transposeA: true });
      }
      if (sizes.length > 1) finishChunk(g, i, [losses[i]!, ...dxs.slice(i), ...(dHead ? [dHead] : [])]);
    });
    const saved: HeadGradients = {
      dx: dxs.length ? op.concat(g, dxs, 0) : null,
      dHead: dHead as Value | null,
      targetRows: weighted.length ? op.mul(g, op.concat(g, weighted, 0), g.scalar(share - 1)) : null,
    };
    return { output: op.sum(g, losses), saved };

    function logSoftmax(z: Value): Value {
      return g.node('LogSoftmax', [z], op.like(z), { attributes: { axis: -1 } });
    }
  },
  vjp: headVjp,
};
