import * as op from '../../graph/operators.js';
import { microsoftDomain } from '../../graph/graph.js';
import type { Graph } from '../../graph/graph.js';
import type { Value } from '../../graph/value.js';
import { staticShape } from '../../graph/value.js';
import type { PrimitiveAttributes, Rule } from '../rule.js';

type Of<P extends keyof PrimitiveAttributes> = Rule<PrimitiveAttributes[P]>;

/**
 * Root mean square layer normalization (Zhang & Sennrich 2019): y = w x r, r = 1 / sqrt(mean(x^2) + eps).
 * With c = mean(dy w x): dx = r (dy w) - r^3 c x, dw = sum_t r (dy x).
 */
export const rmsNorm: Of<'rmsNorm'> = {
  forward: (g, [x, w], { epsilon }) => {
    const [t, d] = staticShape(x!) as [number, number];
    const [y, r] = g.nodeN('SimplifiedLayerNormalization', [x!, w!], {
      attributes: { axis: -1, epsilon: { float: epsilon }, stash_type: 1 },
      outputs: [
        { dtype: 'f32', shape: [t, d] },
        { dtype: 'f32', shape: [t, 1] },
      ],
    }) as [Value, Value];
    return { output: y, saved: r };
  },
  vjp: (g, dy, { inputs: [x, w], saved }) => {
    const [, d] = staticShape(x!) as [number, number];
    const r = saved as Value;
    const dyx = op.mul(g, dy, x!);
    const dw = w!.differentiable ? op.reshape(g, op.gemm(g, r, dyx, null, { transposeA: true }), [d]) : null;
    if (!x!.differentiable) return [null, dw];
    const c = op.gemm(g, dyx, op.reshape(g, w!, [d, 1]), null, { alpha: 1 / d });
    const r3c = op.mul(g, op.mul(g, r, r), op.mul(g, r, c));
    const dx = op.sub(g, op.mul(g, op.mul(g, dy, w!), r), op.mul(g, x!, r3c));
    return [dx, dw];
  },
};

/** Rotary position embedding (Su et al. 2021); its transpose is the rotation by the negative angle. */
export const rope: Of<'rope'> = {
  forward: (g, [x], { cos, sin }) => ({ output: rotate(g, x!, cos, sin) }),
  vjp: (g, dy, { attributes: { cos, minusSin } }) => [rotate(g, dy, cos, minusSin)],
};

function rotate(g: Graph, x: Value, cos: Value, sin: Value): Value {
  // A position_ids of shape [1] is an offset: positions are 0..s-1.
  return g.node('RotaryEmbedding', [x, g.i64([0]), cos, sin], op.like(x), {
    domain: microsoftDomain,
    attributes: { interleaved: 0 },
  });
}
