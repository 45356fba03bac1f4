import type { DType, Shape } from '@edgedesk/tensor';

/** One stored tensor, not yet read. */
export interface TensorInfo {
  readonly name: string;
  /** Element type as stored. */
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Lazily read weights of a checkpoint: safetensors, a trainer's memory, a compressed model's spill. */
export interface WeightSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The tensor widened to f32, row-major, in a fresh array the caller owns; CheckpointError when absent. */
  readF32(name: string): Promise<Float32Array<ArrayBuffer>>;
  close(): Promise<void>;
}
