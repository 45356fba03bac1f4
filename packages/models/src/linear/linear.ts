/**
 * A linear layer is a value. `Dense` holds f32 weights; `NBit` holds group-quantized integers. Logical formats: how a
 * runtime packs them is the exporter's business. Low-rank and adapted layers join this union.
 */
export type Linear = DenseLinear | NBitLinear;

export interface DenseLinear {
  readonly kind: 'dense';
  /** `[out, in]`. */
  readonly shape: readonly [number, number];
  /** Row-major `[out, in]`. */
  readonly weight: Float32Array;
  /** How the weight is stored on disk. */
  readonly storage: 'f32' | 'f16';
}

export interface NBitLinear {
  readonly kind: 'nbit';
  readonly shape: readonly [number, number];
  readonly bits: 2 | 4 | 8;
  /** Columns that share a scale; the last group of a row may be shorter. */
  readonly groupSize: number;
  /** One unsigned level a byte, row-major `[out, in]`, each < 2^bits. */
  readonly levels: Uint8Array;
  /** `[out, ceil(in / groupSize)]`, already rounded to binary16's grid. */
  readonly scales: Float32Array;
  /** Same shape as `scales`; absent means symmetric: 2^(bits - 1) everywhere. */
  readonly zeroPoints?: Uint8Array;
}
