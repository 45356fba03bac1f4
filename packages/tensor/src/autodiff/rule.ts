import type { Value } from '../graph/value.js';
import type { DifferentiableGraph, SparseGradient } from './tape.js';

/** Attributes of every differentiable primitive. A primitive without a rule, or a rule's test case, is a compile error. */
export interface PrimitiveAttributes {
  /** a + b with broadcasting. */
  add: Record<never, never>;
  sub: Record<never, never>;
  mul: Record<never, never>;
  scale: { factor: number };
  exp: Record<never, never>;
  log: Record<never, never>;
  sigmoid: Record<never, never>;
  silu: Record<never, never>;
  /** Over the last axis. */
  softmax: Record<never, never>;
  reduceSum: { axes: readonly number[]; keepDims: boolean };
  /** a `[..., m, k]`, b `[..., k, n]` (or `[..., n, k]` with transposeB), equal leading axes. */
  matmul: { transposeB?: boolean; alpha?: number };
  /** x `[t, in]`, w `[out, in]` -> `[t, out]`. */
  linear: Record<never, never>;
  reshape: { shape: readonly number[] };
  transpose: { permutation: readonly number[] };
  slice: { axis: number; start: number; end: number };
  concat: { axis: number };
  /** table `[r, d]`, ids i64 `[n]` -> `[n, d]`. */
  gather: Record<never, never>;
  /** x `[t, d]`, weight `[d]`. */
  rmsNorm: { epsilon: number };
  /** x `[b, h, s, hd]`; cos, sin, minusSin `[s, hd / 2]`: rotation by position, halves convention. */
  rope: { cos: Value; sin: Value; minusSin: Value };
  /** gate, up -> silu(gate) * up. */
  swiglu: Record<never, never>;
  /** gate, up -> gelu(gate) * up, with the tanh form of GELU. */
  geglu: Record<never, never>;
  /**
   * q `[b, h, s, hd]`, k and v `[b, kv, s, hd]`; mask `[b, 1, s, s]` is added to the scores, which are q k^T times `scale`,
   * 1 / sqrt(hd) when absent.
   */
  attention: { mask: Value; blocks: number; scale?: number };
  /** x `[n, d]`, head `[v, d]`; targets i64 `[n]`, weights `[n, 1]`: sum of weight * cross-entropy, scalar. */
  crossEntropy: { targets: Value; weights: Value; chunk: number };
  /**
   * x `[n, d]`, head `[v, d]`; the teacher's teacherHidden `[n, e]`, teacherHead `[v, e]`: sum of weight * ((1 - share) *
   * cross-entropy + share * KL(teacher || ours)), scalar.
   */
  distillation: {
    targets: Value;
    weights: Value;
    teacherHidden: Value;
    teacherHead: Value;
    share: number;
    chunk: number;
  };
  /**
   * w `[rows, columns]`, scale `[rows, groups]` -> w rounded to levels `lowest`..`highest` of its groups' grids; `middle` is
   * the level of zero where `zeroPoints` (f32 `[rows, groups]`) are absent. Straight-through gradients.
   */
  fakeQuantize: {
    groupSize: number;
    lowest: number;
    highest: number;
    middle: number;
    zeroPoints?: Value | undefined;
  };
}

export type Primitive = keyof PrimitiveAttributes;

export interface Applied<A> {
  readonly inputs: readonly Value[];
  readonly output: Value;
  readonly attributes: A;
  readonly saved: unknown;
}

export interface Rule<A> {
  /** Emits the primitive; `saved` is handed to `vjp`. */
  forward(
    g: DifferentiableGraph,
    inputs: readonly Value[],
    attributes: A,
  ): { output: Value; saved?: unknown };
  /** Vector-Jacobian product: the gradient of each input, null where none is needed. */
  vjp(
    g: DifferentiableGraph,
    upstream: Value,
    applied: Applied<A>,
  ): readonly (Value | SparseGradient | null)[];
}
