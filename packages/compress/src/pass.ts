import { RecipeError } from '@edgedesk/tensor';
import type { z } from 'zod';
import type { Model } from './model.js';
import type { SweepContext } from './sweep/sweep.js';

/** What a pass may use besides the model. */
export interface PassContext {
  readonly signal?: AbortSignal;
  /** Text to calibrate on, and what runs it; passes that need calibration refuse to start without. */
  readonly sweep?: Omit<SweepContext, 'signal'>;
}

/** A step of compression: a pure function from model to model, with settings that a recipe can hold. */
export interface Pass {
  readonly name: string;
  /** For documentation and for checks before a long job starts. */
  readonly settings: z.ZodType;
  /** What must be at hand: nothing, text to calibrate on, or a training run. */
  readonly needs: 'nothing' | 'calibration' | 'training';
  /** Applies the pass; RecipeError when `settings` are not the schema's. */
  apply(model: Model, settings: unknown, context: PassContext): Promise<Model>;
}

/** Builds a pass whose `apply` gets checked settings, defaults filled in. */
export function definePass<Schema extends z.ZodType>(definition: {
  readonly name: string;
  readonly settings: Schema;
  readonly needs: Pass['needs'];
  readonly apply: (model: Model, settings: z.output<Schema>, context: PassContext) => Promise<Model>;
}): Pass {
  const { name, settings: schema, needs } = definition;
  return {
    name,
    settings: schema,
    needs,
    apply(model, settings, context) {
      const parsed = schema.safeParse(settings);
      if (parsed.success) return definition.apply(model, parsed.data, context);
      const { path, message } = parsed.error.issues[0]!;
      const where = [`pass "${name}"`, ...path.map(String)].join(', ');
      return Promise.reject(new RecipeError(message, { where, fix: 'change this setting' }));
    },
  };
}
