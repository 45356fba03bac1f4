import type { Checkpoint, Manifest } from '@edgedesk/models';
import { loadCheckpoint } from '@edgedesk/models';
import type { CheckpointOnDisk } from '@edgedesk/models/node';
import { nodeSha256, openCheckpoint } from '@edgedesk/models/node';
import type { FileStore } from '@edgedesk/tensor';
import { RecipeError } from '@edgedesk/tensor';
import { nodeBackend, writeFolderAtomic } from '@edgedesk/tensor/node';
import type { ExportProgress } from '../export/write-artefact.js';
import { writeArtefact } from '../export/write-artefact.js';
import { modelFromWeights } from '../model.js';
import type { PassContext } from '../pass.js';
import type { BudgetOptions } from '../recipe-for-budget.js';
import { recipeForBudget } from '../recipe-for-budget.js';
import type { BitsOptions, RecipeStep } from '../recipe.js';
import { applyRecipe, needsCalibration, recipeForBits } from '../recipe.js';
import type { SweepProgress } from '../sweep/sweep.js';
import type { CalibrationFiles } from './calibration-files.js';
import { readCalibration } from './calibration-files.js';
import type { WorkFolder } from './work-folder.js';
import { workFolder } from './work-folder.js';

interface CommonOptions {
  /**
   * Path of a checkpoint, a folder in the Hugging Face layout or a GGUF file; or the files of such a folder:
   * config.json, safetensors, tokenizer.
   */
  readonly source: string | FileStore;
  /** Where the artefact goes. An earlier artefact there is replaced once the new one is whole. */
  readonly outDir: string;
  /** @default the last part of the source's name */
  readonly name?: string;
  /** Replace `outDir` even when it is not an artefact. @default false */
  readonly overwrite?: boolean;
  /** Text to calibrate on: methods that look at text need it, and others refuse it. */
  readonly calibration?: CalibrationFiles;
  /** Threads of calibration. @default all cores */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ExportProgress) => void;
  /** Calibration comes before the export. */
  readonly onSweep?: (progress: SweepProgress) => void;
}

/** A plain number of bits, a budget, or a recipe's steps. */
export type CompressOptions = CommonOptions &
  (BitsOptions | BudgetOptions | { readonly recipe: readonly RecipeStep[] });

/**
 * Compresses the checkpoint `source` and writes it to `outDir`: all of it or, when anything fails, nothing.
 * Calibration leaves the blocks it has solved in a hidden folder beside `outDir`: called again after it was stopped or
 * killed it goes on there, with the same result. CheckpointError, RecipeError, DataError or RuntimeFailure say in one
 * sentence what was wrong.
 */
export async function compress(options: CompressOptions): Promise<Manifest> {
  const { source, outDir, signal } = options;
  const recipe = recipeOf(options);
  checkCalibration(recipe, options.calibration);
  const checkpoint = await openSource(source);
  try {
    const name = options.name ?? checkpoint.name;
    const base = modelFromWeights(name, checkpoint.config, checkpoint.weights);
    const work = workFolder(outDir);
    const model = await applyRecipe(base, recipe, await passContext(options, checkpoint, work));
    const manifest = await writeFolderAtomic(
      outDir,
      (folder) =>
        writeArtefact({
          model,
          companions: { tokenizerFiles: checkpoint.tokenizerFiles, generationConfig: checkpoint.generation },
          folder,
          sha256: nodeSha256,
          ...(signal ? { signal } : {}),
          ...(options.onProgress ? { onProgress: options.onProgress } : {}),
        }),
      { overwrite: options.overwrite ?? false },
    );
    await work.remove();
    return manifest;
  } finally {
    await checkpoint.weights.close();
  }
}

function recipeOf(options: CompressOptions): readonly RecipeStep[] {
  if ('recipe' in options) return options.recipe;
  return 'bits' in options ? recipeForBits(options) : recipeForBudget(options);
}

/** RecipeError when the recipe looks at text and there is none, or the other way round. */
function checkCalibration(recipe: readonly RecipeStep[], calibration: CalibrationFiles | undefined): void {
  const needed = needsCalibration(recipe);
  if (needed === (calibration !== undefined)) return;
  throw needed
    ? new RecipeError('this method looks at text, and none was given', {
        where: 'calibration',
        fix: 'name files to calibrate on, or choose the method "rtn"',
      })
    : new RecipeError('nothing in this recipe looks at text', {
        where: 'calibration',
        fix: 'leave it out, or choose the method "gptq" or "search"',
      });
}

async function passContext(
  { calibration, threads, signal, onSweep }: CompressOptions,
  { tokenizer, config }: Checkpoint,
  workspace: WorkFolder,
): Promise<PassContext> {
  const cancel = signal ? { signal } : {};
  if (!calibration) return cancel;
  return {
    ...cancel,
    sweep: {
      calibration: await readCalibration(calibration, tokenizer, config),
      backend: nodeBackend(),
      ...(threads === undefined ? {} : { threads }),
      workspace,
      sha256: nodeSha256,
      ...(onSweep ? { onProgress: onSweep } : {}),
    },
  };
}

/** Opens a checkpoint; the caller closes its weights. */
export async function openSource(source: string | FileStore): Promise<CheckpointOnDisk> {
  if (typeof source === 'string') return openCheckpoint(source);
  return { ...(await loadCheckpoint(source)), name: lastPart(source.name) };
}

/** `models/edgedesk-base/` is called `edgedesk-base`. */
function lastPart(path: string): string {
  return (
    path
      .split(/[\\/]/)
      .filter((part) => part !== '' && part !== '.')
      .at(-1) ?? 'model'
  );
}
