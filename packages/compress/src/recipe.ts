import { RecipeError } from '@edgedesk/tensor';
import { z } from 'zod';
import { castPass } from './cast.js';
import type { Model } from './model.js';
import type { Pass, PassContext } from './pass.js';
import { roundToNearestPass } from './quantize/round-to-nearest.js';

/** Every pass a recipe can name. */
export const passes: ReadonlyMap<string, Pass> = new Map(
  [roundToNearestPass, castPass].map((pass) => [pass.name, pass]),
);

/** A recipe of a hundred passes is a mistake or an attack. */
const maxSteps = 100;

const steps = z.array(z.looseObject({ pass: z.string() })).max(maxSteps);

/** One step of a recipe: the pass's name and, beside it, its settings. */
export type RecipeStep = z.infer<typeof steps>[number];

/** Applies a recipe's steps in order. RecipeError names the step that cannot be used, before anything is read. */
export async function applyRecipe(model: Model, recipe: unknown, context: PassContext = {}): Promise<Model> {
  const parsed = steps.safeParse(recipe);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw new RecipeError(message, {
      where: ['recipe', ...path.map(String)].join(', '),
      fix: 'change this entry',
    });
  }
  let current = model;
  for (const { pass: name, ...settings } of parsed.data) {
    const pass = passes.get(name);
    if (!pass) {
      throw new RecipeError(`there is no pass "${name}"`, {
        where: 'recipe',
        fix: `use one of ${[...passes.keys()].join(', ')}`,
      });
    }
    context.signal?.throwIfAborted();
    current = await pass.apply(current, settings, context);
  }
  return current;
}

/** What `edgedesk compress MODEL --bits N` means. */
export interface BitsOptions {
  readonly bits: 32 | 16 | 8 | 4;
  /** @default 32 */
  readonly groupSize?: number;
  /** @default false */
  readonly asymmetric?: boolean;
}

/** The recipe of a plain number of bits. RecipeError when groups are asked for where nothing is grouped. */
export function recipeForBits({ bits, groupSize, asymmetric }: BitsOptions): readonly RecipeStep[] {
  const grouped = {
    ...(groupSize === undefined ? {} : { groupSize }),
    ...(asymmetric === undefined ? {} : { asymmetric }),
  };
  if (bits === 8 || bits === 4) return [{ pass: roundToNearestPass.name, bits, ...grouped }];
  if (bits !== 32 && bits !== 16) {
    throw new RecipeError(`${String(bits)} bits cannot be stored`, {
      where: 'bits',
      fix: 'use 32, 16, 8 or 4',
    });
  }
  if (groupSize !== undefined || asymmetric) {
    throw new RecipeError(`${bits}-bit weights have no groups`, {
      where: groupSize === undefined ? 'asymmetric' : 'group size',
      fix: 'leave it out, or choose 8 or 4 bits',
    });
  }
  return bits === 32 ? [] : [{ pass: castPass.name, storage: 'f16' }];
}
