import { dirname, resolve } from 'node:path';
import type { DecoderConfig } from '@edgedesk/models';
import { openCheckpoint } from '@edgedesk/models/node';
import type { Tensor } from '@edgedesk/tensor';
import { freshAdapters, type Initialiser } from '../initialise/initial-weights.js';
import type { QuantizedStart } from '../qat/fake-quantization.js';
import { latentWeight } from '../qat/quantized-weight.js';
import type { Recipe } from '../recipe/recipe-schema.js';
import { widenedWeights } from './widened-weights.js';

/** A trained model to go on from. */
export interface Base {
  readonly config: DecoderConfig;
  readonly initialise: Initialiser;
  /** Under LoRA all of the base's weights, f32; else none. */
  readonly frozen: ReadonlyMap<string, Tensor> | undefined;
  /** Hash of all weights. */
  readonly key: string;
  /** `generation_config.json`, for the new model. */
  readonly generation: Readonly<Record<string, unknown>>;
}

/**
 * Reads the base that a recipe names, all weights widened to f32; those that are quantized while training are moved on to
 * the levels of `start`.
 */
export async function loadBase(
  recipe: Recipe,
  recipePath: string,
  start: QuantizedStart | undefined,
): Promise<Base> {
  const { config, weights, generation } = await openCheckpoint(resolve(dirname(recipePath), recipe.base!));
  const { values, key } = await widenedWeights(config, weights).finally(() => weights.close());
  for (const [name, linear] of start?.linears ?? []) {
    const { shape, data } = values.get(name)!;
    values.set(name, { dtype: 'f32', shape, data: latentWeight(data, linear) });
  }
  return {
    config,
    generation,
    key,
    initialise:
      recipe.lora === undefined
        ? (name, _shape, out) => out.set(values.get(name)!.data)
        : freshAdapters(config, recipe.lora, recipe.seed),
    frozen: recipe.lora === undefined ? undefined : values,
  };
}
