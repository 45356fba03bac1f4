import type { LinearFormat, NBitLinear, TrainedGrid } from '@edgedesk/models';
import { groupsPerRow, toDense } from '@edgedesk/models';
import { CheckpointError, RecipeError } from '@edgedesk/tensor';
import { z } from 'zod';
import type { LinearSlot, Model } from '../model.js';
import { denseWeight, withLinears } from '../model.js';
import { definePass } from '../pass.js';
import { roundToGrids } from './grid.js';
import { plainSlot } from './plain-slot.js';

const settings = z.strictObject({
  /** How weights are stored that were not trained on a grid. */
  others: z.enum(['f32', 'f16']).default('f32'),
});

/**
 * Takes over the grids that quantization-aware training has trained the weights on, which the checkpoint holds beside them:
 * each weight lies on a level already, so nothing is lost and the levels are those of the training, bit for bit.
 */
export const trainedGridsPass = definePass({
  name: 'trained-grids',
  settings,
  needs: 'nothing',
  async apply(model, { others }) {
    const formats = new Map<string, LinearFormat>();
    for (const weight of model.linears.keys()) {
      const grid = await model.readGrid?.(weight);
      if (grid) formats.set(weight, grid.format);
    }
    if (formats.size === 0) {
      throw new RecipeError('no weight of this checkpoint was trained on a grid', {
        where: model.name,
        fix: 'train it by a recipe with `quantize`, or choose another method',
      });
    }
    return withLinears(
      model,
      (slot, weight) => {
        const format = formats.get(weight);
        if (!format) return plainSlot(slot, { kind: 'dense', storage: others });
        return { shape: slot.shape, format, read: () => readOnGrid(model, slot, weight) };
      },
      { step: 'trained-grids', settings: { weights: formats.size } },
    );
  },
});

async function readOnGrid(model: Model, slot: LinearSlot, weight: string): Promise<NBitLinear> {
  const grid = (await model.readGrid!(weight))!;
  const dense = denseWeight(await slot.read());
  const linear = roundToGrids(dense, slot.shape, grid.format, grid);
  checkOnGrid(dense, linear, grid, `${model.name}, tensor "${weight}"`);
  return linear;
}

/** What a value may lose when a checkpoint stores it in binary16 or bfloat16, and the least that binary16 tells apart. */
const storedPrecision = 2 ** -8;
const smallestHalf = 2 ** -24;

/** CheckpointError when a weight lies off its level by more than it loses when it is stored. */
function checkOnGrid(
  dense: Float32Array,
  linear: NBitLinear,
  { format, scales }: TrainedGrid,
  where: string,
): void {
  const rounded = toDense(linear);
  const [, columns] = linear.shape;
  const groups = groupsPerRow(columns, format.groupSize);
  for (let i = 0; i < dense.length; i++) {
    const off = Math.abs(dense[i]! - rounded[i]!);
    if (off <= Math.abs(rounded[i]!) * storedPrecision + smallestHalf) continue;
    const row = Math.floor(i / columns);
    const scale = scales[row * groups + Math.floor((i % columns) / format.groupSize)]!;
    throw new CheckpointError(
      `the weight at [${row}, ${i % columns}] is ${dense[i]}, which is on no level of its group's scale ${scale}`,
      { where, fix: 'use the checkpoint as training wrote it, or choose another method' },
    );
  }
}
