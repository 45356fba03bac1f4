import { createHash } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import type { NBitLinear } from '@edgedesk/models';
import { RecipeError } from '@edgedesk/tensor';
import type { QuantizedStart } from '../qat/fake-quantization.js';
import type { Recipe } from '../recipe/recipe-schema.js';
import type { OnTrainEvent } from '../trainer/events.js';

export interface StartRequest {
  /** Folder of the full-precision model. */
  readonly base: string;
  /** What the recipe's `quantize` asks for. */
  readonly quantize: NonNullable<Recipe['quantize']>;
  /** Files of rows to calibrate on. */
  readonly calibration: readonly string[];
  /** A place to leave solved blocks in, so that a resumed run does not solve them again. */
  readonly workPath: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress: (done: number, total: number) => void;
}

/**
 * Quantizes the model that quantization-aware training starts from; the same request gives the same bytes. Training
 * knows no solvers: `quantizeForTraining` of `@edgedesk/compress/node` is one.
 */
export type StartQuantizer = (request: StartRequest) => Promise<ReadonlyMap<string, NBitLinear>>;

/** The levels and scales that a recipe's training starts from, with a hash of them. */
export async function quantizedStart(
  recipe: Recipe,
  recipePath: string,
  outDir: string,
  quantizer: StartQuantizer | undefined,
  signal: AbortSignal | undefined,
  onEvent: OnTrainEvent,
): Promise<(QuantizedStart & { readonly key: string }) | undefined> {
  const { quantize } = recipe;
  if (quantize === undefined) return undefined;
  if (quantizer === undefined) {
    throw new RecipeError('asks for quantization, and no quantizer was given', {
      where: `${recipePath}, quantize`,
      fix: 'train it with the `edgedesk` program, or pass `quantizer`',
    });
  }
  const beside = (file: string): string => resolve(dirname(recipePath), file);
  const files = quantize.calibration ?? recipe.data.flatMap(({ sources }) => sources.flatMap((s) => s.files));
  const linears = await quantizer({
    base: beside(recipe.base!),
    quantize,
    calibration: [...new Set(files)].map(beside),
    workPath: join(outDir, 'start'),
    signal,
    onProgress: (done, total) => onEvent({ type: 'prepare', what: 'quantizing the base', done, total }),
  });
  const hash = createHash('sha256');
  for (const [name, { levels, scales, zeroPoints = new Uint8Array() }] of linears) {
    hash.update(name).update(levels).update(scales).update(zeroPoints);
  }
  return { linears, learnScales: quantize.scales === 'learned', key: hash.digest('hex') };
}
