import * as op from '../../graph/operators.js';
import type { PrimitiveAttributes, Rule } from '../rule.js';

type Of<P extends keyof PrimitiveAttributes> = Rule<PrimitiveAttributes[P]>;

export const matmul: Of<'matmul'> = {
  forward: (g, [a, b], attributes) => ({ output: op.matmul(g, a!, b!, attributes) }),
  vjp: (g, dy, { inputs: [a, b], attributes: { transposeB = false, alpha = 1 } }) => [
    a!.differentiable ? op.matmul(g, dy, b!, { transposeB: !transposeB, alpha }) : null,
    !b!.differentiable
      ? null
      : transposeB
        ? op.matmul(g, dy, a!, { transposeA: true, alpha })
        : op.matmul(g, a!, dy, { transposeA: true, alpha }),
  ],
};

export const linear: Of<'linear'> = {
  forward: (g, [x, w]) => ({ output: op.gemm(g, x!, w!, null, { transposeB: true }) }),
  vjp: (g, dy, { inputs: [x, w] }) => [
    x!.differentiable ? op.gemm(g, dy, w!, null) : null,
    w!.differentiable ? op.gemm(g, dy, x!, null, { transposeA: true }) : null,
  ],
};
