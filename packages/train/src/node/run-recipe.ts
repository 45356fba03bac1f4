import { readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { DecoderConfig } from '@edgedesk/models';
import { chatMl } from '@edgedesk/models';
import { CheckpointError, EdgeDeskError, RecipeError, type OrtBackend } from '@edgedesk/tensor';
import { makeFolders, writeFileAtomic } from '@edgedesk/tensor/node';
import { withCopyingHeads } from '../initialise/copying-heads.js';
import { fromScratch, parameterCount } from '../initialise/initial-weights.js';
import { parseRecipe } from '../recipe/parse-recipe.js';
import type { QuantizedStart } from '../qat/fake-quantization.js';
import type { Recipe } from '../recipe/recipe-schema.js';
import type { OnTrainEvent } from '../trainer/events.js';
import { lossCurveHtml } from '../report/loss-curve-html.js';
import { runTraining } from '../trainer/run-training.js';
import type { TeacherOptions } from '../trainer/teacher.js';
import { Trainer } from '../trainer/trainer.js';
import { CheckpointFolder } from './checkpoint-folder.js';
import { fingerprintOf } from './fingerprint.js';
import { loadBase, type Base } from './base-model.js';
import { loadRecipeData, type RecipeData } from './recipe-data.js';
import { quantizedStart, type StartQuantizer } from './quantized-start.js';
import { recipeTokenizer, type RunTokenizer } from './recipe-tokenizer.js';
import { hasPeftNames, saveTrainedModel } from './save-trained.js';
import { loadTeacher } from './teacher-model.js';
import { TokenCache } from './token-cache.js';
import { TrainingLog } from './training-log.js';
import { summarise } from './training-summary.js';

export interface RunRecipeOptions {
  readonly recipePath: string;
  readonly backend: OrtBackend;
  /** Folder of the run: checkpoints, log, curve, and the model in `model/`. @default `runs/NAME` */
  readonly outDir?: string;
  /** Go on from the folder's last checkpoint. @default false: a folder that holds one is refused */
  readonly resume?: boolean;
  /** Resume although recipe or data changed since. @default false */
  readonly allowChanges?: boolean;
  /** Needed by recipes with `quantize`. */
  readonly quantizer?: StartQuantizer;
  /** Stops behind the current step, with a checkpoint. */
  readonly signal?: AbortSignal;
  readonly onEvent?: OnTrainEvent;
}

export interface RunRecipeResult {
  /** `stopped`: by the signal; resume goes on. */
  readonly outcome: 'done' | 'stopped';
  readonly outDir: string;
  /** Folder of the finished model in the Hugging Face layout; null when stopped. */
  readonly modelDir: string | null;
}

/**
 * Trains what a recipe describes: reads it, makes or loads the tokenizer, tokenizes the data, trains with checkpoints and
 * writes the model. Bad input is an EdgeDeskError of one sentence.
 */
export async function runRecipe(options: RunRecipeOptions): Promise<RunRecipeResult> {
  const { recipePath, backend, onEvent = () => undefined } = options;
  const recipe = parseRecipe(await readRecipe(recipePath), recipePath);
  const outDir = resolve(options.outDir ?? join('runs', recipe.name));
  const checkpoints = new CheckpointFolder(join(outDir, 'checkpoints'), recipe.checkpoint.keep);
  if (!options.resume && !(await checkpoints.isEmpty())) {
    throw new RecipeError('the folder already holds a run', {
      where: outDir,
      fix: 'resume it, or choose another folder',
    });
  }
  const { tokenizer, data, base, config, trainer, fingerprint } = await orNoFolder(outDir, () =>
    prepare(recipe, outDir, checkpoints, options),
  );
  try {
    const log = await TrainingLog.open(join(outDir, 'training-log.jsonl'), trainer.state);
    onEvent({
      type: 'start',
      name: recipe.name,
      parameters: parameterCount(config),
      trainable: trainer.parameterCount,
      step: trainer.state.step,
    });
    const outcome = await runTraining(trainer, {
      evaluations: data.evaluations,
      evaluateEvery: recipe.evaluation?.every ?? {},
      checkpointEvery: recipe.checkpoint.every,
      saveCheckpoint: () => checkpoints.save(trainer, fingerprint),
      signal: options.signal,
      onEvent: (event) => {
        if (event.type === 'step') log.append({ type: 'step', ...event.point });
        if (event.type === 'evaluation') log.append({ type: 'evaluation', ...event.point });
        onEvent(event);
      },
    });
    await writeFileAtomic(join(outDir, 'curve.html'), lossCurveHtml(recipe.name, trainer.state));
    const summary = summarise(recipe, config, trainer, data, backend.name);
    await writeFileAtomic(join(outDir, 'training-summary.json'), `${JSON.stringify(summary, null, 2)}\n`);
    if (outcome === 'stopped') {
      onEvent({ type: 'stopped', step: trainer.state.step });
      return { outcome, outDir, modelDir: null };
    }
    const modelDir = await saveTrainedModel({
      recipe,
      recipePath,
      config,
      trainer,
      base,
      tokenizer,
      summary,
      outDir,
    });
    onEvent({ type: 'done', step: trainer.state.step, where: modelDir });
    return { outcome, outDir, modelDir };
  } finally {
    await trainer.release();
  }
}

/** What a run needs before its first step. RecipeError, DataError or CheckpointError when the recipe asks for what is not there. */
async function prepare(
  recipe: Recipe,
  outDir: string,
  checkpoints: CheckpointFolder,
  options: RunRecipeOptions,
) {
  const { recipePath, backend, resume, allowChanges, onEvent = () => undefined } = options;
  const tokenizer = await recipeTokenizer(recipe, recipePath, outDir, onEvent);
  const cache = new TokenCache(join(outDir, 'cache'), tokenizer.codec, onEvent);
  const data = await loadRecipeData(recipe, recipePath, cache);
  const { quantizer, signal } = options;
  const start = await quantizedStart(recipe, recipePath, outDir, quantizer, signal, onEvent);
  const base = recipe.base === undefined ? null : await loadBase(recipe, recipePath, start);
  const teacher = await loadTeacher(recipe, recipePath, tokenizer);
  const config = base?.config ?? newConfig(recipe, tokenizer);
  const others = [start, teacher].flatMap((part) => (part === undefined ? [] : [part.key]));
  const fingerprint = fingerprintOf(recipe, [...data.keys, base?.key ?? '', ...others]);
  const trainer = makeTrainer(recipe, config, { base, start, teacher }, data, backend);
  try {
    if (resume) await checkpoints.restore(trainer, allowChanges ? null : fingerprint);
    return { tokenizer, data, base, config, trainer, fingerprint };
  } catch (error) {
    await trainer.release();
    throw error;
  }
}

/** Makes `folder` and works in it; input that is refused leaves no new folder behind. */
async function orNoFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const created = await makeFolders(folder);
  try {
    return await work();
  } catch (error) {
    if (created !== null && EdgeDeskError.isInstance(error))
      await rm(created, { recursive: true, force: true });
    throw error;
  }
}

async function readRecipe(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new RecipeError('the recipe cannot be read', { where: path, fix: 'check the path', cause });
  }
}

function newConfig(recipe: Recipe, { tokenizer, codec }: RunTokenizer): DecoderConfig {
  const { headDim, kvHeadCount, start: _start, ...model } = recipe.model!;
  const endOfTurn = tokenizer.idOf(chatMl.endOfTurn);
  return {
    ...model,
    vocabSize: tokenizer.vocabSize,
    kvHeadCount: kvHeadCount ?? model.headCount,
    headDim: headDim ?? model.hiddenSize / model.headCount,
    bosTokenId: null,
    eosTokenIds: [...new Set([endOfTurn ?? codec.separatorId, codec.separatorId])],
    padTokenId: codec.separatorId,
  };
}

/** Other models that a run needs. */
interface Models {
  readonly base: Base | null;
  readonly start: QuantizedStart | undefined;
  readonly teacher: TeacherOptions | undefined;
}

const firstWeights = { normal: fromScratch, copying: withCopyingHeads };

function makeTrainer(
  recipe: Recipe,
  config: DecoderConfig,
  { base, start, teacher }: Models,
  data: RecipeData,
  backend: OrtBackend,
): Trainer {
  if (recipe.sequence > config.contextLength) {
    throw new CheckpointError(
      `the base reads ${config.contextLength} tokens, fewer than \`sequence\` ${recipe.sequence}`,
      {
        where: recipe.base,
        fix: 'shorten `sequence`',
      },
    );
  }
  if (recipe.lora !== undefined && !recipe.output.merge && !hasPeftNames(config, recipe.lora)) {
    throw new RecipeError(
      'Phi-3 joins its q, k and v and its gate and up layers, so adapters of one of them have no name',
      {
        where: 'output.merge',
        fix: 'leave `merge` on, or adapt `o` and `down` only',
      },
    );
  }
  const { lr, decayEmbedding, muon, ...optimizer } = recipe.optimizer;
  return new Trainer({
    backend,
    config,
    lora: recipe.lora,
    initialise: base?.initialise ?? firstWeights[recipe.model!.start](config, recipe.seed),
    frozen: base?.frozen,
    quantize: start,
    teacher,
    phases: data.phases,
    sequence: recipe.sequence,
    batch: recipe.batch,
    accumulate: recipe.accumulate,
    emphasis: recipe.emphasis,
    lr,
    optimizer,
    decayEmbedding,
    muon: muon && { ...muon, weightDecay: optimizer.weightDecay },
    schedule: recipe.schedule,
    budget: data.budget,
    seed: recipe.seed,
  });
}
