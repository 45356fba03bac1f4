import * as op from '../../graph/operators.js';
import type { Graph } from '../../graph/graph.js';
import type { Value } from '../../graph/value.js';
import { sizeAt } from '../../graph/value.js';
import type { PrimitiveAttributes, Rule } from '../rule.js';

type Attributes = PrimitiveAttributes['fakeQuantize'];

/** |w^ - w| / s of a weight that was rounded and not clipped, with room for what f32 loses. */
const roundedWithin = 0.5001;

/**
 * Rounding to a group's grid, w^ = s clip(floor(w / s + 1/2), n, p) with zero points as in `NBitLinear`, and a gradient
 * although rounding has none: straight through (Bengio, Leonard & Courville 2013), and for the scale as in "Learned Step
 * Size Quantization" (Esser et al. 2020, equation 3):
 *
 *   dw = dw^ where w was rounded, 0 where it was clipped
 *   ds = sum over the group of dw^ (w^ / s - w / s) where rounded, dw^ (w^ / s) where clipped
 *
 * Scales are taken at binary16's precision, as they are stored. The backward pass works from w, w^ and s alone, so nothing
 * of a weight's size is held for it.
 */
export const fakeQuantize: Rule<Attributes> = {
  forward: (g, [w, scale], attributes) => {
    const { lowest, highest, middle, zeroPoints } = attributes;
    const half = op.cast(g, op.cast(g, scale!, 'f16'), 'f32');
    const s = op.reshape(g, half, [...scale!.shape, 1]);
    const isZero = g.node('Equal', [s, g.scalar(0)], { dtype: 'bool', shape: s.shape });
    const divisor = g.node('Where', [isZero, g.scalar(1), s], op.like(s));
    const x = op.div(g, grouped(g, w!, scale!, attributes), divisor);
    let k: Value;
    if (zeroPoints) {
      const zero = op.reshape(g, zeroPoints, [...zeroPoints.shape, 1]);
      k = op.sub(g, clippedFloor(g, op.add(g, x, op.add(g, zero, g.scalar(0.5))), lowest, highest), zero);
    } else {
      k = clippedFloor(g, op.add(g, x, g.scalar(0.5)), lowest - middle, highest - middle);
    }
    return { output: ungrouped(g, op.mul(g, k, s), w!), saved: divisor };
  },
  vjp: (g, dy, { inputs: [w, scale], output, attributes, saved }) => {
    // The scales as they are stored, `[rows, groups, 1]`, with 1 in place of 0.
    const divisor = saved as Value;
    const rounded = grouped(g, output, scale!, attributes);
    const off = op.sub(g, rounded, grouped(g, w!, scale!, attributes));
    const e = op.div(g, off, divisor);
    const bool = { dtype: 'bool', shape: e.shape } as const;
    const inside = g.node('Less', [g.node('Abs', [e], op.like(e)), g.scalar(roundedWithin)], bool);
    const flow = grouped(g, dy, scale!, attributes);
    const dw = w!.differentiable
      ? ungrouped(g, g.node('Where', [inside, flow, g.scalar(0)], op.like(flow)), w!)
      : null;
    if (!scale!.differentiable) return [dw, null];
    const slope = g.node('Where', [inside, e, op.div(g, rounded, divisor)], op.like(e));
    const ds = op.reduceSum(g, op.mul(g, flow, slope), [2], false);
    return [dw, ds];
  },
};

function clippedFloor(g: Graph, x: Value, lowest: number, highest: number): Value {
  return g.node('Clip', [g.node('Floor', [x], op.like(x)), g.scalar(lowest), g.scalar(highest)], op.like(x));
}

/** `[rows, columns]` as `[rows, groups, groupSize]`; a short last group is filled with zeros. */
function grouped(g: Graph, x: Value, scale: Value, { groupSize }: Attributes): Value {
  const [rows, columns] = [sizeAt(x, 0), sizeAt(x, 1)];
  const groups = sizeAt(scale, 1);
  const missing = groups * groupSize - columns;
  const zeros = (): Value => {
    const shape = [rows, missing];
    return g.node('Expand', [g.scalar(0), g.i64(shape)], { dtype: 'f32', shape });
  };
  return op.reshape(g, missing > 0 ? op.concat(g, [x, zeros()], 1) : x, [rows, groups, groupSize]);
}

/** The inverse of `grouped`, with the shape of `like`. */
function ungrouped(g: Graph, x: Value, like: Value): Value {
  const [rows, columns] = [sizeAt(like, 0), sizeAt(like, 1)];
  const padded = sizeAt(x, 1) * sizeAt(x, 2);
  return op.slice(g, op.reshape(g, x, [rows, padded]), 1, 0, columns);
}
