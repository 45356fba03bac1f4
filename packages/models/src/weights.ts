import type { DType, Shape } from '@edgedesk/tensor';

/** One stored tensor, not yet read. */
export interface TensorInfo {
  readonly name: string;
  /** Element type as stored; `f32` where weights are quantized in the file. */
  readonly dtype: DType;
  readonly shape: Shape;
  /** The file's own name for how it stores the elements, where that is not `dtype`: `Q4_K`. */
  readonly encoding?: string;
  /** Bytes in the file. */
  readonly sizeBytes?: number;
}

/** Lazily read weights of a checkpoint: safetensors, a trainer's memory, a compressed model's spill. */
export interface WeightSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The tensor widened to f32, row-major, in a fresh array the caller owns; CheckpointError when absent. */
  readF32(name: string): Promise<Float32Array<ArrayBuffer>>;
  close(): Promise<void>;
}
