import type { Primitive, PrimitiveAttributes, Rule } from '../rule.js';
import { attention } from './attention.js';
import { crossEntropy } from './cross-entropy.js';
import { distillation } from './distillation.js';
import { add, exp, geglu, log, mul, scale, sigmoid, silu, softmax, sub, swiglu } from './elementwise.js';
import { fakeQuantize } from './fake-quantize.js';
import { concat, gather, reduceSum, reshape, slice, transpose } from './layout.js';
import { linear, matmul } from './matrix.js';
import { rmsNorm, rope } from './transformer.js';

/** The whole of reverse mode: one rule a primitive. */
export const rules: { readonly [P in Primitive]: Rule<PrimitiveAttributes[P]> } = {
  add,
  sub,
  mul,
  scale,
  exp,
  log,
  sigmoid,
  silu,
  softmax,
  reduceSum,
  matmul,
  linear,
  reshape,
  transpose,
  slice,
  concat,
  gather,
  rmsNorm,
  rope,
  swiglu,
  geglu,
  attention,
  crossEntropy,
  distillation,
  fakeQuantize,
};
