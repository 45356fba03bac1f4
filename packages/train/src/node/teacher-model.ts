import { dirname, resolve } from 'node:path';
import { openCheckpoint, openFolder } from '@edgedesk/models/node';
import { RecipeError } from '@edgedesk/tensor';
import type { Recipe } from '../recipe/recipe-schema.js';
import type { TeacherOptions } from '../trainer/teacher.js';
import type { RunTokenizer } from './recipe-tokenizer.js';
import { widenedWeights } from './widened-weights.js';

/**
 * Reads the teacher that a recipe names, its weights widened to f32, with a hash of them. RecipeError when it has another
 * vocabulary than the model that is trained.
 */
export async function loadTeacher(
  recipe: Recipe,
  recipePath: string,
  { tokenizer, folder }: RunTokenizer,
): Promise<(TeacherOptions & { readonly key: string }) | undefined> {
  if (recipe.teacher === undefined) return undefined;
  const path = resolve(dirname(recipePath), recipe.teacher.model);
  const checkpoint = await openCheckpoint(path);
  const { config, weights } = checkpoint;
  try {
    const own = await openFolder(folder).readText('tokenizer.json', 2 ** 28);
    const pieces = (text: string): string => JSON.stringify((JSON.parse(text) as PieceTable).model.vocab);
    const theirs = checkpoint.tokenizerFiles.get('tokenizer.json')!;
    if (checkpoint.tokenizer.vocabSize !== tokenizer.vocabSize || pieces(theirs) !== pieces(own)) {
      throw new RecipeError('the teacher has another vocabulary, so its predictions mean something else', {
        where: path,
        fix: "choose a teacher with the model's own tokenizer",
      });
    }
    const { values, key } = await widenedWeights(config, weights);
    return { config, weights: values, share: recipe.teacher.share, key };
  } finally {
    await weights.close();
  }
}

interface PieceTable {
  readonly model: { readonly vocab: unknown };
}
