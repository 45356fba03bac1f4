import {
  type DecoderConfig,
  formatOf,
  type NBitFormat,
  type NBitLinear,
  type TensorToWrite,
  toDense,
  trainedGridTensors,
} from '@edgedesk/models';
import { adaptersByWeight, mergeAdapter } from '../lora/merge.js';
import { gridInputs } from '../qat/fake-quantization.js';
import { quantizedWeight } from '../qat/quantized-weight.js';
import type { Recipe } from '../recipe/recipe-schema.js';
import type { Trainer } from '../trainer/trainer.js';
import type { Base } from './base-model.js';

export interface Trained {
  readonly recipe: Recipe;
  readonly config: DecoderConfig;
  readonly trainer: Trainer;
  readonly base: Base | null;
}

/** A weight of the finished model: adapters merged in, and on its grid where it was trained on one. */
export function finalWeight(trained: Trained, name: string): Float32Array<ArrayBuffer> {
  const linear = finalLinear(trained, name);
  return linear ? toDense(linear) : plainWeight(trained, name);
}

/** The grids that weights were trained on, to be written beside them. */
export function finalGrids(trained: Trained): TensorToWrite[] {
  const starts = trained.trainer.options.quantize?.linears ?? new Map<string, NBitLinear>();
  return [...starts.keys()].flatMap((name) => {
    const linear = finalLinear(trained, name)!;
    const { scales, zeroPoints } = linear;
    const grid = {
      format: formatOf(linear) as NBitFormat,
      scales: scales as Float32Array<ArrayBuffer>,
      ...(zeroPoints ? { zeroPoints: zeroPoints as Uint8Array<ArrayBuffer> } : {}),
    };
    return trainedGridTensors(name, grid, linear.shape).map(({ values, ...tensor }) => ({
      ...tensor,
      read: () => Promise.resolve(values),
    }));
  });
}

function finalLinear(trained: Trained, name: string): NBitLinear | null {
  const { trainer } = trained;
  const start = trainer.options.quantize?.linears.get(name);
  if (!start) return null;
  const { gain } = gridInputs(name);
  const learned = trainer.options.quantize!.learnScales;
  const gains = learned ? trainer.arena.tensor(trainer.exported, gain).data : null;
  return quantizedWeight(plainWeight(trained, name), start, gains);
}

/** Before rounding; under LoRA the base's weight with its adapter merged in. */
function plainWeight({ recipe, config, trainer, base }: Trained, name: string): Float32Array<ArrayBuffer> {
  const trained = (parameter: string) => trainer.arena.tensor(trainer.exported, parameter).data;
  if (recipe.lora === undefined) return trained(name).slice();
  const weight = Float32Array.from(base!.frozen!.get(name)!.data as Float32Array);
  const adapter = adaptersByWeight(config, recipe.lora).get(name);
  if (adapter !== undefined) {
    const { rank, alpha } = recipe.lora;
    mergeAdapter(weight, trained(adapter.a), trained(adapter.b), rank, alpha / rank);
  }
  return weight;
}
