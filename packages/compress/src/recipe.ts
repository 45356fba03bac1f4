import { RecipeError } from '@edgedesk/tensor';
import { z } from 'zod';
import { awqPass } from './awq/awq-pass.js';
import { castPass } from './cast.js';
import { mixedPrecisionPass } from './mixed/mixed-precision.js';
import type { Model } from './model.js';
import type { Pass, PassContext } from './pass.js';
import { gptqPass, scaleSearchPass } from './quantize/calibrated.js';
import { roundToNearestPass } from './quantize/round-to-nearest.js';
import { trainedGridsPass } from './quantize/trained-grids.js';
import type { GroupMethod } from './quantize/solve-in-format.js';

/** Every pass a recipe can name. */
export const passes: ReadonlyMap<string, Pass> = new Map(
  [
    roundToNearestPass,
    scaleSearchPass,
    gptqPass,
    awqPass,
    mixedPrecisionPass,
    trainedGridsPass,
    castPass,
  ].map((pass) => [pass.name, pass]),
);

/** A recipe of a hundred passes is a mistake or an attack. */
const maxSteps = 100;

const steps = z.array(z.looseObject({ pass: z.string() })).max(maxSteps);

/** One step of a recipe: the pass's name and, beside it, its settings. */
export type RecipeStep = z.infer<typeof steps>[number];

/** Applies a recipe's steps in order. RecipeError names the step that cannot be used, before anything is read. */
export async function applyRecipe(model: Model, recipe: unknown, context: PassContext = {}): Promise<Model> {
  let current = model;
  for (const { pass, settings } of passesOf(recipe)) {
    context.signal?.throwIfAborted();
    current = await pass.apply(current, settings, context);
  }
  return current;
}

/** Whether a recipe looks at text. RecipeError as `applyRecipe`. */
export function needsCalibration(recipe: unknown): boolean {
  return passesOf(recipe).some(({ pass }) => pass.needs === 'calibration');
}

function passesOf(recipe: unknown): { pass: Pass; settings: Record<string, unknown> }[] {
  const parsed = steps.safeParse(recipe);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw new RecipeError(message, {
      where: ['recipe', ...path.map(String)].join(', '),
      fix: 'change this entry',
    });
  }
  return parsed.data.map(({ pass: name, ...settings }) => {
    const pass = passes.get(name);
    if (pass) return { pass, settings };
    throw new RecipeError(`there is no pass "${name}"`, {
      where: 'recipe',
      fix: `use one of ${[...passes.keys()].join(', ')}`,
    });
  });
}

/**
 * How 8 and fewer bits are found: rounding, rounding with searched scales, GPTQ, and the last two after AWQ's scaling; all
 * but the first look at text.
 */
export const methods = ['rtn', 'search', 'gptq', 'awq', 'awq+gptq'] as const;
export type Method = (typeof methods)[number];

const quantizing: Readonly<Record<Method, GroupMethod>> = {
  rtn: 'rtn',
  search: 'search',
  gptq: 'gptq',
  awq: 'search',
  'awq+gptq': 'gptq',
};

const methodPass: Readonly<Record<GroupMethod, string>> = {
  rtn: roundToNearestPass.name,
  search: scaleSearchPass.name,
  gptq: gptqPass.name,
};

/** The steps of a method: AWQ's scaling for rounding to `scaledFor` where it is part of it, then `quantize`. */
export function methodSteps(
  method: Method,
  scaledFor: Readonly<Record<string, unknown>>,
  quantize: (method: GroupMethod) => RecipeStep,
): readonly RecipeStep[] {
  if (!(method in quantizing)) {
    throw new RecipeError(`there is no method "${String(method)}"`, {
      where: 'method',
      fix: `use one of ${methods.join(', ')}`,
    });
  }
  const step = quantize(quantizing[method]);
  return method.startsWith('awq') ? [{ pass: awqPass.name, ...scaledFor }, step] : [step];
}

/** Bits of information in a weight. */
export const bitsChoices = [32, 16, 8, 4, 3, 2] as const;
export type BitsChoice = (typeof bitsChoices)[number];

/** What `edgedesk compress MODEL --bits N` means. */
export interface BitsOptions {
  readonly bits: BitsChoice;
  /** Container of the levels, no narrower than these bits. @default the narrowest; 3 bits are stored in 4 */
  readonly storedBits?: 8 | 4 | 2;
  /** @default 'rtn' */
  readonly method?: Method;
  /** @default 32 */
  readonly groupSize?: number;
  /** @default false */
  readonly asymmetric?: boolean;
  /** Bits of the embedding and the head. @default 8, or `bits` where those are plain floats */
  readonly embeddingBits?: BitsChoice;
  /** Steps in which each block is tuned once it is solved; not with `rtn`. @default none */
  readonly refine?: number;
}

/** The recipe of a plain number of bits. RecipeError when groups are asked for where nothing is grouped. */
export function recipeForBits(options: BitsOptions): readonly RecipeStep[] {
  const { bits, method = 'rtn', storedBits, groupSize, asymmetric, embeddingBits, refine } = options;
  const groups = {
    ...(groupSize === undefined ? {} : { groupSize }),
    ...(asymmetric === undefined ? {} : { asymmetric }),
  };
  const others = {
    ...(storedBits === undefined ? {} : { storedBits }),
    ...(embeddingBits === undefined ? {} : { embeddingBits }),
    ...(refine === undefined ? {} : { refine }),
  };
  if (refine !== undefined && method === 'rtn') {
    throw new RecipeError('refinement tunes what a method that looks at text has found', {
      where: 'refine',
      fix: 'leave it out, or choose the method "gptq"',
    });
  }
  if (!bitsChoices.includes(bits)) {
    throw new RecipeError(`${String(bits)} bits cannot be stored`, {
      where: 'bits',
      fix: `use one of ${bitsChoices.join(', ')}`,
    });
  }
  if (bits !== 32 && bits !== 16) {
    if (storedBits !== undefined && storedBits < bits) {
      throw new RecipeError(`${bits} bits do not fit into ${storedBits}`, {
        where: 'stored bits',
        fix: 'leave it out, or store them in more',
      });
    }
    return methodSteps(method, { bits, ...groups }, (quantizer) => ({
      pass: methodPass[quantizer],
      bits,
      ...groups,
      ...others,
    }));
  }
  if (method !== 'rtn') {
    throw new RecipeError(`${bits}-bit weights are plain floats, which "${method}" has nothing to do with`, {
      where: 'method',
      fix: 'leave it out, or choose 8 or fewer bits',
    });
  }
  if (embeddingBits !== undefined && embeddingBits !== bits) {
    throw new RecipeError(`${bits}-bit models store all weights alike`, {
      where: 'embedding bits',
      fix: 'leave it out, or choose 8 or fewer bits for the model',
    });
  }
  if (groupSize !== undefined || storedBits !== undefined || asymmetric) {
    throw new RecipeError(`${bits}-bit weights have no groups`, {
      where: groupSize !== undefined ? 'group size' : asymmetric ? 'asymmetric' : 'stored bits',
      fix: 'leave it out, or choose 8 or fewer bits',
    });
  }
  return bits === 32 ? [] : [{ pass: castPass.name, storage: 'f16' }];
}
