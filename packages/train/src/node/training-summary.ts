import type { DecoderConfig } from '@edgedesk/models';
import { parameterCount } from '../initialise/initial-weights.js';
import type { Recipe } from '../recipe/recipe-schema.js';
import type { Trainer } from '../trainer/trainer.js';
import type { RecipeData } from './recipe-data.js';

/** What a model card says about a run; also `training-summary.json`. */
export interface TrainingSummary {
  readonly name: string;
  readonly parameters: number;
  readonly trainable: number;
  readonly config: DecoderConfig;
  readonly recipe: Recipe;
  readonly engine: string;
  readonly steps: number;
  /** Positions of packed rows, free ones included. */
  readonly tokens: number;
  readonly lossTokens: number;
  readonly minutes: number;
  readonly tokensPerSecond: number;
  /** Positions seen and size (positions of one epoch) of every training file. */
  readonly files: readonly { readonly name: string; readonly seen: number; readonly size: number }[];
  readonly dropped: Readonly<Record<string, number>>;
  /** Nats a loss token, mean of the last 100 steps. */
  readonly trainingLoss: number | null;
  /** Nats a loss token on held-out files, at the end. */
  readonly heldOut: { readonly loss: number; readonly sets: Readonly<Record<string, number>> } | null;
}

/** Steps that the reported training loss averages over. */
const lossWindow = 100;

export function summarise(
  recipe: Recipe,
  config: DecoderConfig,
  trainer: Trainer,
  data: RecipeData,
  engine: string,
): TrainingSummary {
  const { state } = trainer;
  const last = state.steps.slice(-lossWindow);
  const evaluation = state.evaluations.at(-1);
  const sizes = sizesByFile(data);
  const seconds = state.elapsedMs / 1000;
  return {
    name: recipe.name,
    parameters: parameterCount(config),
    trainable: trainer.parameterCount,
    config,
    recipe,
    engine,
    steps: state.step,
    tokens: state.tokens,
    lossTokens: state.lossTokens,
    minutes: seconds / 60,
    tokensPerSecond: seconds > 0 ? state.tokens / seconds : 0,
    files: [...sizes].map(([name, size]) => ({ name, seen: state.sourceTokens[name] ?? 0, size })),
    dropped: data.dropped,
    trainingLoss: last.length === 0 ? null : last.reduce((sum, { loss }) => sum + loss, 0) / last.length,
    heldOut: evaluation === undefined ? null : { loss: evaluation.loss, sets: evaluation.sets },
  };
}

/** Of files that several phases share, the size in one of them. */
function sizesByFile(data: RecipeData): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>();
  for (const { sources } of data.phases) {
    const here = new Map<string, number>();
    for (const { source, length } of sources.flatMap(({ pieces }) => pieces)) {
      here.set(source.name, (here.get(source.name) ?? 0) + length - 1);
    }
    here.forEach((size, name) => sizes.set(name, size));
  }
  return sizes;
}
