import type { DecoderConfig } from '../config.js';
import type { Linear, LinearFormat } from './linear.js';

/** A matrix of a decoder, read when asked for. */
export interface StoredLinear {
  /** `[out, in]` */
  readonly shape: readonly [number, number];
  readonly format: LinearFormat;
  /** In `format`; the caller owns it. */
  read(): Promise<Linear>;
}

/** All weights of a decoder, quantized or not, by checkpoint name: what exporters read. */
export interface DecoderWeights {
  readonly config: DecoderConfig;
  /** The embedding, the layers' linear weights, an untied head. */
  readonly linears: ReadonlyMap<string, StoredLinear>;
  /** A norm or bias. */
  readVector(name: string): Promise<Float32Array>;
}
