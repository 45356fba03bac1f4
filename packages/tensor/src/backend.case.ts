import type { OrtBackend, Tensor } from './backend.js';
import { tensor } from './backend.js';
import { DifferentiableGraph } from './autodiff/tape.js';
import { Graph } from './graph/graph.js';
import * as op from './graph/operators.js';
import { encodeModel } from './onnx/encode.js';

/** What every backend must answer; the same numbers from Node and from a real browser. */
export const backendExpectation = {
  sum: [11, 22, 33],
  dtypes: ['f32', 'i64', 'bool'],
  rowsOfASymbolicBatch: [2, 5],
  external: [10, 20, 30],
  intoCallerMemory: [0, 14, 0],
  gradient: [6, -8],
};

/** Runs the contract. `externalData` turns one file into what the backend takes. */
export async function exerciseBackend(
  backend: OrtBackend,
  externalData: (name: string, bytes: Uint8Array) => Promise<string | ReadonlyMap<string, Uint8Array>>,
): Promise<typeof backendExpectation> {
  const numbers = (t: Tensor | undefined): number[] => Array.from(t!.data as Float32Array, Number);

  const g = new Graph();
  const x = g.input('x', 'f32', ['batch', 3]);
  const doubled = op.add(g, x, x);
  g.output(op.reduceSum(g, doubled, [0], false), 'sum');
  g.output(g.node('Shape', [x], { dtype: 'i64', shape: [2] }), 'shape');
  g.output(g.node('Greater', [x, g.scalar(3)], { dtype: 'bool', shape: ['batch', 3] }), 'large');
  const session = await backend.createSession(encodeModel(g), { threads: 1 });
  const first = await session.run({ x: tensor.f32([0.5, 1, 1.5, 5, 10, 15], [2, 3]) });
  const second = await session.run({ x: tensor.zeros([5, 3]) }, ['large']);
  await session.release();

  const e = new Graph();
  const w = e.initializer('w', 'f32', [3], { location: 'w.bin', offset: 4, length: 12 });
  e.output(op.mul(e, w, e.input('f', 'f32', [])), 'y');
  const outside = new Uint8Array(Float32Array.of(99, 1, 2, 3).buffer);
  const linked = await backend.createSession(encodeModel(e), {
    threads: 1,
    externalData: await externalData('w.bin', outside),
  });
  const external = await linked.run({ f: tensor.f32([10], []) });
  await linked.release();

  const d = new DifferentiableGraph();
  const p = d.parameter('p', [2]);
  const loss = d.apply('reduceSum', [d.apply('mul', [p, p], {})], { axes: [0], keepDims: false });
  d.output(loss, 'loss');
  d.output(d.gradients(loss, [p])[0]!, 'grad');
  const training = await backend.createSession(encodeModel(d, { inPlaceOutputs: true }), { threads: 1 });
  const memory = new Float32Array(3);
  const gradient = new Float32Array(2);
  const into = {
    loss: { dtype: 'f32' as const, shape: [], data: memory.subarray(1, 2) },
    grad: tensor.f32(gradient, [2]),
  };
  await training.runInto({ p: tensor.f32([1, 2], [2]) }, into);
  await training.runInto({ p: tensor.f32([3, -4], [2]) }, into);
  memory[1] = memory[1]! - 11;
  await training.release();

  return {
    sum: numbers(first['sum']),
    dtypes: ['sum', 'shape', 'large'].map((name) => first[name]!.dtype),
    rowsOfASymbolicBatch: [Number(first['shape']!.data[0]), second['large']!.shape[0]!],
    external: numbers(external['y']),
    intoCallerMemory: [...memory],
    gradient: [...gradient],
  };
}
