import { RecipeError } from '@edgedesk/tensor';
import { mixedFormats, mixedPrecisionPass } from './mixed/mixed-precision.js';
import type { Sensitivity } from './mixed/sensitivity.js';
import type { Method, RecipeStep } from './recipe.js';
import { methodSteps } from './recipe.js';

/** What `edgedesk compress MODEL --target-size S` or `--bits-per-weight N` means: one of both. */
export interface BudgetOptions {
  /** Bytes of the model and its external data. */
  readonly targetBytes?: number;
  /** The same, divided by the number of weights. */
  readonly bitsPerWeight?: number;
  /** @default 'gptq' */
  readonly method?: Method;
  /** Bits that a weight may have, for runtimes that lack some. @default [2, 4, 8] */
  readonly mixBits?: readonly number[];
  /** Measured before by the same method, with its own formats. */
  readonly sensitivity?: Sensitivity;
}

/** AWQ scales for rounding to this format, in the middle of those that are mixed. */
const scaledFor = { bits: 4, groupSize: 32 };

/** The recipe of a budget. RecipeError when nothing is left to choose from. */
export function recipeForBudget(options: BudgetOptions): readonly RecipeStep[] {
  const { targetBytes, bitsPerWeight, method = 'gptq', mixBits, sensitivity } = options;
  const formats = mixBits && mixedFormats.filter(({ bits }) => mixBits.includes(bits));
  if (formats?.length === 0) {
    throw new RecipeError(`no weight can be stored in ${mixBits!.join(', ') || 'no'} bits`, {
      where: 'mix bits',
      fix: 'use some of 2, 4 and 8',
    });
  }
  if (sensitivity && method.startsWith('awq')) {
    throw new RecipeError('AWQ changes the weights whose sensitivity was measured', {
      where: 'sensitivity',
      fix: 'leave it out, so that it is measured after the scaling, or choose another method',
    });
  }
  return methodSteps(method, scaledFor, (quantizing) => ({
    pass: mixedPrecisionPass.name,
    method: quantizing,
    ...(targetBytes === undefined ? {} : { targetBytes }),
    ...(bitsPerWeight === undefined ? {} : { bitsPerWeight }),
    ...(formats === undefined ? {} : { formats }),
    ...(sensitivity === undefined ? {} : { sensitivity }),
  }));
}
