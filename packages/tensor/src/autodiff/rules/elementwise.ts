import * as op from '../../graph/operators.js';
import type { PrimitiveAttributes, Rule } from '../rule.js';

type Of<P extends keyof PrimitiveAttributes> = Rule<PrimitiveAttributes[P]>;

export const add: Of<'add'> = {
  forward: (g, [a, b]) => ({ output: op.add(g, a!, b!) }),
  vjp: (g, dy, { inputs: [a, b] }) => [
    a!.differentiable ? op.unbroadcast(g, dy, a!.shape) : null,
    b!.differentiable ? op.unbroadcast(g, dy, b!.shape) : null,
  ],
};

export const sub: Of<'sub'> = {
  forward: (g, [a, b]) => ({ output: op.sub(g, a!, b!) }),
  vjp: (g, dy, { inputs: [a, b] }) => [
    a!.differentiable ? op.unbroadcast(g, dy, a!.shape) : null,
    b!.differentiable ? op.neg(g, op.unbroadcast(g, dy, b!.shape)) : null,
  ],
};

export const mul: Of<'mul'> = {
  forward: (g, [a, b]) => ({ output: op.mul(g, a!, b!) }),
  vjp: (g, dy, { inputs: [a, b] }) => [
    a!.differentiable ? op.unbroadcast(g, op.mul(g, dy, b!), a!.shape) : null,
    b!.differentiable ? op.unbroadcast(g, op.mul(g, dy, a!), b!.shape) : null,
  ],
};

export const scale: Of<'scale'> = {
  forward: (g, [x], { factor }) => ({ output: op.mul(g, x!, g.scalar(factor)) }),
  vjp: (g, dy, { attributes }) => [op.mul(g, dy, g.scalar(attributes.factor))],
};

export const exp: Of<'exp'> = {
  forward: (g, [x]) => ({ output: op.exp(g, x!) }),
  vjp: (g, dy, { output }) => [op.mul(g, dy, output)],
};

export const log: Of<'log'> = {
  forward: (g, [x]) => ({ output: op.log(g, x!) }),
  vjp: (g, dy, { inputs: [x] }) => [op.div(g, dy, x!)],
};

export const sigmoid: Of<'sigmoid'> = {
  forward: (g, [x]) => ({ output: op.sigmoid(g, x!) }),
  vjp: (g, dy, { output: s }) => [op.mul(g, dy, op.sub(g, s, op.mul(g, s, s)))],
};

/** d silu = s + y - y s, with s = sigmoid(x) and y = x s. */
export const silu: Of<'silu'> = {
  forward: (g, [x]) => {
    const s = op.sigmoid(g, x!);
    return { output: op.mul(g, x!, s), saved: s };
  },
  vjp: (g, dy, { output: y, saved }) => {
    const s = saved as typeof y;
    return [op.mul(g, dy, op.sub(g, op.add(g, s, y), op.mul(g, y, s)))];
  },
};

/** dx = (dy - rowsum(dy * p)) * p. */
export const softmax: Of<'softmax'> = {
  forward: (g, [x]) => ({ output: op.softmax(g, x!) }),
  vjp: (g, dy, { output: p }) => {
    const dot = op.reduceSum(g, op.mul(g, dy, p), [p.shape.length - 1]);
    return [op.mul(g, op.sub(g, dy, dot), p)];
  },
};

export const swiglu: Of<'swiglu'> = {
  forward: (g, [gate, up]) => {
    const s = op.sigmoid(g, gate!);
    const a = op.mul(g, gate!, s);
    return { output: op.mul(g, a, up!), saved: { s, a } };
  },
  vjp: (g, dy, { inputs: [gate, up], saved }) => {
    const { s, a } = saved as { s: typeof dy; a: typeof dy };
    const slope = op.sub(g, op.add(g, s, a), op.mul(g, a, s));
    return [
      gate!.differentiable ? op.mul(g, op.mul(g, dy, up!), slope) : null,
      up!.differentiable ? op.mul(g, dy, a) : null,
    ];
  },
};

const tanhSlope = Math.sqrt(2 / Math.PI);
const tanhCubic = 0.044715;

/**
 * GELU in its tanh form (Hendrycks & Gimpel 2016, section 2) times up: with u = sqrt(2/pi) (x + 0.044715 x^3) it is
 * x (1 + tanh u) / 2 = x s, s = sigmoid(2u), so its slope is s + 2 u' x s (1 - s).
 */
export const geglu: Of<'geglu'> = {
  forward: (g, [gate, up]) => {
    const cube = op.mul(g, op.mul(g, gate!, gate!), gate!);
    const u = op.add(g, gate!, op.mul(g, cube, g.scalar(tanhCubic)));
    const s = op.sigmoid(g, op.mul(g, u, g.scalar(2 * tanhSlope)));
    const a = op.mul(g, gate!, s);
    return { output: op.mul(g, a, up!), saved: { s, a } };
  },
  vjp: (g, dy, { inputs: [gate, up], saved }) => {
    const { s, a } = saved as { s: typeof dy; a: typeof dy };
    const square = op.mul(g, gate!, gate!);
    const twiceSlope = op.add(
      g,
      op.mul(g, square, g.scalar(6 * tanhSlope * tanhCubic)),
      g.scalar(2 * tanhSlope),
    );
    const slope = op.add(g, s, op.mul(g, twiceSlope, op.sub(g, a, op.mul(g, a, s))));
    return [
      gate!.differentiable ? op.mul(g, op.mul(g, dy, up!), slope) : null,
      up!.differentiable ? op.mul(g, dy, a) : null,
    ];
  },
};
