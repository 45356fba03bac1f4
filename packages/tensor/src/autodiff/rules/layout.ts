import * as op from '../../graph/operators.js';
import { sizeAt, staticShape } from '../../graph/value.js';
import type { PrimitiveAttributes, Rule } from '../rule.js';

type Of<P extends keyof PrimitiveAttributes> = Rule<PrimitiveAttributes[P]>;

export const reshape: Of<'reshape'> = {
  forward: (g, [x], { shape }) => ({ output: op.reshape(g, x!, shape) }),
  vjp: (g, dy, { inputs: [x] }) => [op.reshape(g, dy, x!.shape)],
};

export const transpose: Of<'transpose'> = {
  forward: (g, [x], { permutation }) => ({ output: op.transpose(g, x!, permutation) }),
  vjp: (g, dy, { attributes: { permutation } }) => {
    const inverse = permutation.map((_, i) => permutation.indexOf(i));
    return [op.transpose(g, dy, inverse)];
  },
};

export const reduceSum: Of<'reduceSum'> = {
  forward: (g, [x], { axes, keepDims }) => ({ output: op.reduceSum(g, x!, axes, keepDims) }),
  vjp: (g, dy, { inputs: [x], attributes: { axes } }) => {
    const kept = x!.shape.map((d, i) => (axes.includes(i) ? 1 : d));
    const expanded = g.node('Expand', [op.reshape(g, dy, kept), g.i64(staticShape(x!))], op.like(x!));
    return [expanded];
  },
};

export const slice: Of<'slice'> = {
  forward: (g, [x], { axis, start, end }) => ({ output: op.slice(g, x!, axis, start, end) }),
  vjp: (g, dy, { inputs: [x], attributes: { axis, start, end } }) => {
    const zeros = (n: number) => {
      const shape = staticShape(x!).map((d, i) => (i === axis ? n : d));
      return g.node('Expand', [g.scalar(0), g.i64(shape)], { dtype: 'f32', shape });
    };
    const after = sizeAt(x!, axis) - end;
    return [op.concat(g, [...(start ? [zeros(start)] : []), dy, ...(after ? [zeros(after)] : [])], axis)];
  },
};

export const concat: Of<'concat'> = {
  forward: (g, inputs, { axis }) => ({ output: op.concat(g, inputs, axis) }),
  vjp: (g, dy, { inputs, attributes: { axis } }) =>
    op.split(
      g,
      dy,
      axis,
      inputs.map((x) => sizeAt(x, axis)),
    ),
};

export const gather: Of<'gather'> = {
  forward: (g, [table, ids]) => ({ output: op.gather(g, table!, ids!) }),
  vjp: (_g, dy, { inputs: [, ids] }) => [{ ids: ids!, rows: dy }, null],
};
