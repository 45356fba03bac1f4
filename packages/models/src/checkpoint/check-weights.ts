import { CheckpointError } from '@edgedesk/tensor';
import { type DecoderConfig, weightShapes } from '../config.js';
import type { WeightSource } from '../weights.js';
import { notReal } from './safetensors.js';

/**
 * CheckpointError in one sentence when a weight of the model is missing from `source` or has another shape than
 * `config` asks for. Further tensors are allowed.
 *
 * @param where for the message: the checkpoint's folder or file.
 */
export function checkWeights(config: DecoderConfig, source: WeightSource, where: string): void {
  const fix = 'use weights and config.json of one revision';
  const missing: string[] = [];
  for (const [name, shape] of weightShapes(config)) {
    const tensor = source.tensors.get(name);
    if (tensor === undefined) {
      missing.push(name);
      continue;
    }
    if (!['f32', 'f16', 'bf16'].includes(tensor.dtype)) throw notReal(tensor, where);
    if (tensor.shape.length !== shape.length || tensor.shape.some((d, i) => d !== shape[i])) {
      throw new CheckpointError(
        `the tensor \`${name}\` has shape [${tensor.shape.join(', ')}] but config.json asks for [${shape.join(', ')}]`,
        { where, fix },
      );
    }
  }
  if (missing.length === 0) return;
  const more = missing.length === 1 ? 'is' : missing.length === 2 ? 'and 1 other are' : `and ${missing.length - 1} others are`;
  throw new CheckpointError(`the tensor \`${missing[0]}\` ${more} missing`, { where, fix });
}
