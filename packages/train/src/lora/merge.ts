import type { DecoderConfig } from '@edgedesk/models';
import { weightName } from '@edgedesk/models';
import { adapterNames, type LoraOptions } from '../graph/training-graph.js';

/** The adapter matrices of a base weight. */
export interface AdapterOf {
  readonly a: string;
  readonly b: string;
}

/** Adapters by the name of the weight they change. */
export function adaptersByWeight(config: DecoderConfig, lora: LoraOptions): Map<string, AdapterOf> {
  const adapters = new Map<string, AdapterOf>();
  for (let layer = 0; layer < config.layerCount; layer++) {
    for (const role of lora.roles) adapters.set(weightName.linear(layer, role), adapterNames(layer, role));
  }
  return adapters;
}

/** W += scale * B A (Hu et al. 2021), in place. `weight`: `[out, in]`; `a`: `[rank, in]`; `b`: `[out, rank]`. */
export function mergeAdapter(
  weight: Float32Array,
  a: Float32Array,
  b: Float32Array,
  rank: number,
  scale: number,
): void {
  const inner = a.length / rank;
  const out = b.length / rank;
  for (let o = 0; o < out; o++) {
    const row = weight.subarray(o * inner, (o + 1) * inner);
    for (let r = 0; r < rank; r++) {
      const factor = scale * b[o * rank + r]!;
      const direction = a.subarray(r * inner, (r + 1) * inner);
      for (let i = 0; i < inner; i++) row[i]! += factor * direction[i]!;
    }
  }
}
