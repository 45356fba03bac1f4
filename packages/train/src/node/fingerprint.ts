import { createHash } from 'node:crypto';
import type { Recipe } from '../recipe/recipe-schema.js';

/**
 * Of everything that decides a run's numbers: the recipe without what only says when to look and what to write, the
 * tokenized data and the base's weights (`keys`). A checkpoint carries it and resumes only where it is the same.
 */
export function fingerprintOf(recipe: Recipe, keys: readonly string[]): string {
  const {
    evaluation: _evaluation,
    checkpoint: _checkpoint,
    output: _output,
    name: _name,
    ...numbers
  } = recipe;
  return createHash('sha256')
    .update(JSON.stringify([numbers, keys]))
    .digest('hex');
}
