import { createHash } from 'node:crypto';
import { type DecoderConfig, type WeightSource, weightShapes } from '@edgedesk/models';
import type { Tensor } from '@edgedesk/tensor';

export interface WidenedWeights {
  /** Every weight of the decoder as f32, the caller's to change. */
  readonly values: Map<string, Tensor & { readonly data: Float32Array }>;
  /** Hash of all of them. */
  readonly key: string;
}

/** Reads all weights of a checkpoint, which stays the caller's to close. */
export async function widenedWeights(config: DecoderConfig, weights: WeightSource): Promise<WidenedWeights> {
  const values: WidenedWeights['values'] = new Map();
  const hash = createHash('sha256');
  for (const [name, shape] of weightShapes(config)) {
    const data = await weights.readF32(name);
    hash.update(name).update(data);
    values.set(name, { dtype: 'f32', shape, data });
  }
  return { values, key: hash.digest('hex') };
}
