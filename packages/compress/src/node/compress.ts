import type { Manifest } from '@edgedesk/models';
import { loadCheckpoint } from '@edgedesk/models';
import type { CheckpointOnDisk } from '@edgedesk/models/node';
import { nodeSha256, openCheckpoint } from '@edgedesk/models/node';
import type { FileStore } from '@edgedesk/tensor';
import { writeFolderAtomic } from '@edgedesk/tensor/node';
import type { ExportProgress } from '../export/write-artefact.js';
import { writeArtefact } from '../export/write-artefact.js';
import { modelFromWeights } from '../model.js';
import type { BitsOptions, RecipeStep } from '../recipe.js';
import { applyRecipe, recipeForBits } from '../recipe.js';

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
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ExportProgress) => void;
}

/** A plain number of bits, or a recipe's steps. */
export type CompressOptions = CommonOptions & (BitsOptions | { readonly recipe: readonly RecipeStep[] });

/**
 * Compresses the checkpoint `source` and writes it to `outDir`: all of it or, when anything fails, nothing.
 * CheckpointError, RecipeError or RuntimeFailure say in one sentence what was wrong.
 */
export async function compress(options: CompressOptions): Promise<Manifest> {
  const { source, outDir, signal } = options;
  const recipe = 'recipe' in options ? options.recipe : recipeForBits(options);
  const checkpoint = await openSource(source);
  try {
    const name = options.name ?? checkpoint.name;
    const base = modelFromWeights(name, checkpoint.config, checkpoint.weights);
    const model = await applyRecipe(base, recipe, signal ? { signal } : {});
    return await writeFolderAtomic(
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
  } finally {
    await checkpoint.weights.close();
  }
}

async function openSource(source: string | FileStore): Promise<CheckpointOnDisk> {
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
