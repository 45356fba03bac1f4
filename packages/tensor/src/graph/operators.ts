import type { DType } from '../dtype.js';
import { ShapeError } from '../errors.js';
import type { Graph } from './graph.js';
import { microsoftDomain } from './graph.js';
import type { Dim, Value } from './value.js';
import { broadcastShapes, sameShape, sizeAt, staticShape } from './value.js';

// Operators with shape rules and without gradients: what rules and inference graphs are written in.

/** A fresh output of the element type of `value`. */
export const like = (value: Value, shape: readonly Dim[] = value.shape) => ({ dtype: value.dtype, shape });

const elementwise =
  (opType: string) =>
  (g: Graph, a: Value, b: Value): Value =>
    g.node(opType, [a, b], like(a, broadcastShapes(a, b)));

export const add = elementwise('Add');
export const sub = elementwise('Sub');
export const mul = elementwise('Mul');
export const div = elementwise('Div');

const unary =
  (opType: string) =>
  (g: Graph, x: Value): Value =>
    g.node(opType, [x], like(x));

export const neg = unary('Neg');
export const exp = unary('Exp');
export const log = unary('Log');
export const sqrt = unary('Sqrt');
export const sigmoid = unary('Sigmoid');
export const reciprocal = unary('Reciprocal');

/** Sum of equally shaped values. */
export function sum(g: Graph, values: readonly Value[]): Value {
  const first = values[0]!;
  if (values.length === 1) return first;
  return values.length === 2 ? add(g, first, values[1]!) : g.node('Sum', values, like(first));
}

/** Softmax over the last axis. */
export const softmax = (g: Graph, x: Value): Value =>
  g.node('Softmax', [x], like(x), { attributes: { axis: -1 } });

export interface MatMulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly alpha?: number;
}

/** Batched product over the last two axes: leading axes equal, or `b` of rank 2. */
export function matmul(g: Graph, a: Value, b: Value, options: MatMulOptions = {}): Value {
  const { transposeA = false, transposeB = false, alpha = 1 } = options;
  const [m, k] = transposeA ? [a.shape.at(-1)!, a.shape.at(-2)!] : [a.shape.at(-2)!, a.shape.at(-1)!];
  const [k2, n] = transposeB ? [b.shape.at(-1)!, b.shape.at(-2)!] : [b.shape.at(-2)!, b.shape.at(-1)!];
  const batch = a.shape.slice(0, -2);
  if (k !== k2 || (b.shape.length !== 2 && !sameShape(batch, b.shape.slice(0, -2)))) {
    throw new ShapeError(
      `[${a.shape.join(', ')}]${transposeA ? ' transposed' : ''} does not multiply [${b.shape.join(', ')}]${transposeB ? ' transposed' : ''}`,
      { where: `${a.name}, ${b.name}` },
    );
  }
  const output = like(a, [...batch, m, n]);
  if (a.shape.length === 2) return gemm(g, a, b, null, options);
  if (!transposeA && !transposeB && alpha === 1) return g.node('MatMul', [a, b], output);
  return g.node('FusedMatMul', [a, b], output, {
    domain: microsoftDomain,
    attributes: { transA: Number(transposeA), transB: Number(transposeB), alpha: { float: alpha } },
  });
}

/** alpha * a b + c for matrices; c may be null. */
export function gemm(g: Graph, a: Value, b: Value, c: Value | null, options: MatMulOptions = {}): Value {
  const { transposeA = false, transposeB = false, alpha = 1 } = options;
  const m = a.shape[transposeA ? 1 : 0]!;
  const n = b.shape[transposeB ? 0 : 1]!;
  return g.node('Gemm', c ? [a, b, c] : [a, b], like(a, [m, n]), {
    attributes: { transA: Number(transposeA), transB: Number(transposeB), alpha: { float: alpha } },
  });
}

/** `shape` may name one symbolic dimension; it becomes -1. */
export function reshape(g: Graph, x: Value, shape: readonly Dim[]): Value {
  if (sameShape(x.shape, shape)) return x;
  const count = (dims: readonly Dim[]) =>
    dims.reduce<number>((n, d) => (typeof d === 'number' ? n * d : n), 1);
  const symbolic = shape.filter((d) => typeof d === 'string').length;
  if (
    symbolic > 1 ||
    (symbolic === 0 && x.shape.every((d) => typeof d === 'number') && count(x.shape) !== count(shape))
  ) {
    throw new ShapeError(`[${x.shape.join(', ')}] cannot become [${shape.join(', ')}]`, { where: x.name });
  }
  return g.node('Reshape', [x, g.i64(shape.map((d) => (typeof d === 'number' ? d : -1)))], like(x, shape));
}

export const transpose = (g: Graph, x: Value, permutation: readonly number[]): Value =>
  g.node(
    'Transpose',
    [x],
    like(
      x,
      permutation.map((p) => x.shape[p]!),
    ),
    { attributes: { perm: permutation } },
  );

/** Sum over `axes` (non-negative); reduced axes stay with size 1 unless `keepDims` is false. */
export function reduceSum(g: Graph, x: Value, axes: readonly number[], keepDims = true): Value {
  const shape = keepDims
    ? x.shape.map((d, i) => (axes.includes(i) ? 1 : d))
    : x.shape.filter((_, i) => !axes.includes(i));
  return g.node('ReduceSum', [x, g.i64(axes)], like(x, shape), {
    attributes: { keepdims: Number(keepDims) },
  });
}

/** Rows `ids` of `table` along axis 0: `[n]` ids of a `[r, ...]` table give `[n, ...]`. */
export const gather = (g: Graph, table: Value, ids: Value): Value =>
  g.node('Gather', [table, ids], like(table, [...ids.shape, ...table.shape.slice(1)]), {
    attributes: { axis: 0 },
  });

/** One element of each row: x `[n, c]`, ids `[n, 1]` gives `[n, 1]`. */
export const gatherElements = (g: Graph, x: Value, ids: Value): Value =>
  g.node('GatherElements', [x, ids], like(x, ids.shape), { attributes: { axis: 1 } });

/** `table` with `rows` added at `ids`; ids may repeat. */
export const scatterAdd = (g: Graph, table: Value, ids: Value, rows: Value): Value =>
  g.node('ScatterND', [table, reshape(g, ids, [...ids.shape, 1]), rows], like(table), {
    attributes: { reduction: 'add' },
  });

export function slice(g: Graph, x: Value, axis: number, start: number, end: number): Value {
  if (start === 0 && end === x.shape[axis]) return x;
  if (start < 0 || end > sizeAt(x, axis) || start > end) {
    throw new ShapeError(`has no ${start}..${end} along axis ${axis} of [${x.shape.join(', ')}]`, {
      where: x.name,
    });
  }
  const shape = x.shape.map((d, i) => (i === axis ? end - start : d));
  return g.node('Slice', [x, g.i64([start]), g.i64([end]), g.i64([axis])], like(x, shape));
}

export function concat(g: Graph, values: readonly Value[], axis: number): Value {
  if (values.length === 1) return values[0]!;
  const total = values.reduce((n, v) => n + sizeAt(v, axis), 0);
  const shape = values[0]!.shape.map((d, i) => (i === axis ? total : d));
  return g.node('Concat', values, like(values[0]!, shape), { attributes: { axis } });
}

export function split(g: Graph, x: Value, axis: number, sizes: readonly number[]): Value[] {
  if (sizes.length === 1) return [x];
  return g.nodeN('Split', [x, g.i64(sizes)], {
    attributes: { axis },
    outputs: sizes.map((n) =>
      like(
        x,
        x.shape.map((d, i) => (i === axis ? n : d)),
      ),
    ),
  }) as Value[];
}

export const cast = (g: Graph, x: Value, to: DType): Value =>
  x.dtype === to
    ? x
    : g.node('Cast', [x], { dtype: to, shape: x.shape }, { attributes: { to: onnxType[to] } });

/** ONNX TensorProto.DataType numbers. */
export const onnxType: Readonly<Record<DType, number>> = {
  f32: 1,
  u8: 2,
  i8: 3,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  bf16: 16,
};

/** x summed over the axes along which `shape` was broadcast to it. */
export function unbroadcast(g: Graph, x: Value, shape: readonly Dim[]): Value {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.shape.length - shape.length;
  const axes = x.shape.flatMap((d, i) => (i < lead || (shape[i - lead] === 1 && d !== 1) ? [i] : []));
  return reshape(g, axes.length ? reduceSum(g, x, axes) : x, shape);
}

/** Number of rows when all but the last axis are flattened. */
export const rowCount = (x: Value): number =>
  staticShape(x)
    .slice(0, -1)
    .reduce((a, b) => a * b, 1);
