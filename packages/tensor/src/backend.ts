import type { DType, Shape } from './dtype.js';

/** Data of a tensor: i64 is BigInt64Array, f16 and bf16 are their bits, bool is one byte each. */
export type TensorData = Float32Array | Uint16Array | BigInt64Array | Int32Array | Int8Array | Uint8Array;

/** A value going into or coming out of a session. The caller owns `data`; sessions never keep it. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: TensorData;
}

export interface SessionOptions {
  /** Threads inside one operator. @default the backend's number of cores */
  readonly threads?: number;
  /** Worker threads spin between runs: faster for one long-running session, harmful for several in turn. @default true */
  readonly spin?: boolean;
  /**
   * Where a model given as bytes finds the files that its external initializers name: a folder (Node) or the
   * files themselves by name (browser).
   */
  readonly externalData?: string | ReadonlyMap<string, Uint8Array>;
  /** `all` fuses and folds constants; `basic` keeps layout-neutral rewrites only. @default 'all' */
  readonly optimization?: 'all' | 'basic' | 'none';
  /**
   * Freed activations stay with the session for its next run: faster for training, where every step asks for the same
   * sizes; without it a server stays small (Node only). @default true
   */
  readonly arena?: boolean;
  /** Write a profile with this file prefix (Node only). */
  readonly profilePrefix?: string;
}

export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Runs once. Outputs are fresh tensors owned by the caller. */
  run(feeds: Readonly<Record<string, Tensor>>, outputs?: readonly string[]): Promise<Record<string, Tensor>>;
  /**
   * Runs once and writes every output into the caller's tensors. Where the platform allows it nothing is
   * copied; the result is the same where it does not.
   */
  runInto(feeds: Readonly<Record<string, Tensor>>, outputs: Readonly<Record<string, Tensor>>): Promise<void>;
  release(): Promise<void>;
}

/** The one door to ONNX Runtime. Injected: `nodeBackend()` from `/node`, `browserBackend()` from `/browser`. */
export interface OrtBackend {
  /** E.g. `onnxruntime-node 1.30.0 cpu`. */
  readonly name: string;
  /** Physical cores to use by default. */
  readonly cores: number;
  createSession(model: Uint8Array, options?: SessionOptions): Promise<Session>;
}

/** Shorthands for feeds. */
export const tensor = {
  f32: (data: Float32Array | readonly number[], shape: Shape): Tensor => ({
    dtype: 'f32',
    shape,
    data: data instanceof Float32Array ? data : Float32Array.from(data),
  }),
  i64: (data: BigInt64Array | readonly number[], shape: Shape): Tensor => ({
    dtype: 'i64',
    shape,
    data: data instanceof BigInt64Array ? data : BigInt64Array.from(data, BigInt),
  }),
  zeros: (shape: Shape): Tensor => ({
    dtype: 'f32',
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
  }),
};
