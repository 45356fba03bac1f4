import { weightName, weightShapes, type DecoderConfig } from '@edgedesk/models';
import type { Shape } from '@edgedesk/tensor';
import { adapterNames, type LoraOptions } from '../graph/training-graph.js';
import { fillNormal, streamOf } from '../random/philox.js';

const deviation = 0.02;

/** Writes a parameter's first values into `out`. */
export type Initialiser = (name: string, shape: Shape, out: Float32Array) => void;

/**
 * Weights of a new model: norms 1, biases 0, matrices normal with deviation 0.02, and those that write into the residual
 * stream (o, down) scaled by 1/sqrt(2 layers), as in GPT-2 (Radford et al. 2019, section 2.3).
 */
export function fromScratch(config: DecoderConfig, seed: number): Initialiser {
  const residual = new Set<string>();
  for (let layer = 0; layer < config.layerCount; layer++) {
    residual.add(weightName.linear(layer, 'o')).add(weightName.linear(layer, 'down'));
  }
  return (name, shape, out) => {
    if (shape.length > 1) {
      const scale = residual.has(name) ? 1 / Math.sqrt(2 * config.layerCount) : 1;
      fillNormal(out, deviation * scale, seed, streamOf(name));
    } else {
      out.fill(name.endsWith('.bias') ? 0 : 1);
    }
  };
}

/** Adapters that change nothing yet: A normal with variance 1/(3 in), B zero (Hu et al. 2021). */
export function freshAdapters(config: DecoderConfig, lora: LoraOptions, seed: number): Initialiser {
  const rising = new Set<string>();
  for (let layer = 0; layer < config.layerCount; layer++) {
    for (const role of lora.roles) rising.add(adapterNames(layer, role).b);
  }
  return (name, shape, out) => {
    if (rising.has(name)) out.fill(0);
    else fillNormal(out, 1 / Math.sqrt(3 * shape[1]!), seed, streamOf(name));
  };
}

/** Parameters of the whole model; a tied head counts once. */
export function parameterCount(config: DecoderConfig): number {
  let count = 0;
  for (const shape of weightShapes(config).values()) count += shape.reduce((a, b) => a * b, 1);
  return count;
}
