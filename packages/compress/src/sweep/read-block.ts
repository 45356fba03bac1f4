import type { Model } from '../model.js';
import { denseWeight } from '../model.js';
import { blockWeights } from './block-graph.js';

/** The weights of a block by their names in layer 0; the caller may replace them. */
export async function readBlock(model: Model, layer: number): Promise<Map<string, Float32Array>> {
  const weights = new Map<string, Float32Array>();
  for (const name of blockWeights(model.config).keys()) {
    const own = name.replace('model.layers.0.', `model.layers.${layer}.`);
    const slot = model.linears.get(own);
    weights.set(name, slot ? denseWeight(await slot.read()) : await model.readVector(own));
  }
  return weights;
}
