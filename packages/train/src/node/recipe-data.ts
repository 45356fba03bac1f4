import { dirname, resolve } from 'node:path';
import { DataError } from '@edgedesk/tensor';
import { packBestFit } from '../data/pack.js';
import { piecesOf, type Piece } from '../data/pieces.js';
import { plainRows, type RowOptions } from '../data/tokenize-rows.js';
import { permutation, streamOf } from '../random/philox.js';
import type { Recipe, RecipeSource } from '../recipe/recipe-schema.js';
import type { Budget } from '../trainer/budget.js';
import type { EvaluationSet, TrainerPhase } from '../trainer/trainer.js';
import type { TokenCache } from './token-cache.js';

export interface RecipeData {
  readonly phases: readonly TrainerPhase[];
  readonly budget: Budget;
  readonly evaluations: readonly EvaluationSet[];
  /** Cache keys of all training files. */
  readonly keys: readonly string[];
  /** Documents dropped by file, where there were any. */
  readonly dropped: Readonly<Record<string, number>>;
}

/** Reads, tokenizes and cuts everything a recipe names. */
export async function loadRecipeData(
  recipe: Recipe,
  recipePath: string,
  cache: TokenCache,
): Promise<RecipeData> {
  const keys: string[] = [];
  const dropped: Record<string, number> = {};
  const load = async (file: string, options: RowOptions) => {
    const { source: tokens, key } = await cache.load(resolve(dirname(recipePath), file), file, {
      maxTokens: recipe.sequence + 1,
      ...options,
      seed: recipe.seed,
    });
    if (tokens.dropped > 0) dropped[file] = tokens.dropped;
    return { tokens, key };
  };

  const phases: (Omit<TrainerPhase, 'share'> & { share: number | undefined; positions: number })[] = [];
  for (const phase of recipe.data) {
    const sources = [];
    for (const source of phase.sources) {
      const { loss: lossOn, grounded, noise, intents, reading, drill } = source;
      const pieces: Piece[] = [];
      for (const file of source.files) {
        const { tokens, key } = await load(file, {
          lossOn,
          grounded,
          noise,
          intents,
          reading,
          drill,
        });
        keys.push(key);
        pieces.push(...piecesOf(tokens, recipe.sequence));
      }
      const size = pieces.reduce((sum, { length }) => sum + length - 1, 0);
      const positions = source.epochs === undefined ? 0 : source.epochs * size;
      sources.push({ name: sourceName(source), pieces, weight: source.weight ?? positions, positions });
    }
    const positions = sources.reduce((sum, source) => sum + source.positions, 0);
    phases.push({ name: phase.name, share: phase.share, sources, positions });
  }

  const evaluations: EvaluationSet[] = [];
  for (const file of recipe.evaluation?.files ?? []) {
    const { tokens } = await load(file, plainRows);
    evaluations.push(heldOut(file, piecesOf(tokens, recipe.sequence), recipe));
  }

  const total = phases.reduce((sum, { positions }) => sum + positions, 0);
  const given = phases.reduce((sum, { share }) => sum + (share ?? 0), 0);
  return {
    phases: phases.map(({ name, sources, share, positions }) => ({
      name,
      sources,
      // Without shares a single phase has it all, and epochs divide the budget by their size.
      share: given > 0 ? (share ?? 0) / given : phases.length === 1 ? 1 : positions / total,
    })),
    budget: recipe.budget ?? { tokens: total },
    evaluations,
    keys,
    dropped,
  };
}

/** What a source is called in reports and state: its name, or its files. */
function sourceName(source: RecipeSource): string {
  return source.name ?? source.files.join(' + ');
}

/** A fixed random part of a held-out file, packed. */
function heldOut(file: string, pieces: readonly Piece[], recipe: Recipe): EvaluationSet {
  const limit = recipe.evaluation!.tokens;
  const chosen: Piece[] = [];
  let positions = 0;
  for (const index of permutation(pieces.length, recipe.seed, streamOf(file))) {
    if (positions >= limit) break;
    chosen.push(pieces[index]!);
    positions += pieces[index]!.length - 1;
  }
  if (chosen.length === 0) {
    throw new DataError('the file has no row to evaluate on', { where: file, fix: 'name another file' });
  }
  const packed = packBestFit(
    chosen.map(({ length }) => length - 1),
    recipe.sequence,
  );
  return { name: file, rows: packed.map((row) => row.map((index) => chosen[index]!)) };
}
