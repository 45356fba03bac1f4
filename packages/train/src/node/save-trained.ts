import { dirname, join, relative, resolve } from 'node:path';
import { type DecoderConfig, readTokenizerFiles, writeSafetensors } from '@edgedesk/models';
import { openFolder, saveCheckpoint } from '@edgedesk/models/node';
import { writeFolderAtomic } from '@edgedesk/tensor/node';
import type { LoraOptions } from '../graph/training-graph.js';
import { peftConfig, peftName } from '../lora/peft.js';
import { finalGrids, finalWeight, type Trained } from './final-weights.js';
import { modelCard } from './model-card.js';
import type { RunTokenizer } from './recipe-tokenizer.js';
import type { TrainingSummary } from './training-summary.js';

export interface TrainedModel extends Trained {
  readonly recipePath: string;
  readonly tokenizer: RunTokenizer;
  readonly summary: TrainingSummary;
  /** Folder of the run. */
  readonly outDir: string;
}

/** Whether PEFT finds the adapted layers in the family's checkpoints: Phi-3 joins q, k and v, and gate and up. */
export function hasPeftNames({ modelType }: DecoderConfig, { roles }: LoraOptions): boolean {
  return modelType !== 'phi3' || roles.every((role) => role === 'o' || role === 'down');
}

/**
 * Writes the finished model: `model/` in the Hugging Face layout, with the grids of weights that were trained on one, and
 * under LoRA `adapter/` in PEFT's where that has names for the layers and nothing is rounded. Returns the folder
 * to use: `model/`, or `adapter/` when the recipe asks not to merge.
 */
export async function saveTrainedModel(trained: TrainedModel): Promise<string> {
  const { recipe, config, base, tokenizer, outDir } = trained;
  // Adapters that were trained under rounding are nothing without it.
  if (recipe.lora !== undefined && recipe.quantize === undefined && hasPeftNames(config, recipe.lora)) {
    const adapter = join(outDir, 'adapter');
    await saveAdapter(trained, adapter);
    if (!recipe.output.merge) return adapter;
  }
  const model = join(outDir, 'model');
  await saveCheckpoint(model, {
    config,
    weights: { readF32: (name) => Promise.resolve(finalWeight(trained, name)) },
    furtherTensors: finalGrids(trained),
    tokenizerFiles: await readTokenizerFiles(openFolder(tokenizer.folder)),
    dtype: recipe.output.dtype,
    generation: base?.generation ?? {},
    extraFiles: new Map([['README.md', modelCard(trained.summary)]]),
  });
  return model;
}

async function saveAdapter(
  { recipe, recipePath, trainer, outDir, summary }: TrainedModel,
  path: string,
): Promise<void> {
  const base = relative(outDir, resolve(dirname(recipePath), recipe.base!));
  await writeFolderAtomic(
    path,
    async (folder) => {
      const tensors = trainer.arena.names.map((name) => {
        const { shape, data } = trainer.arena.tensor(trainer.exported, name);
        return { name: peftName(name), shape, dtype: 'f32' as const, read: () => Promise.resolve(data) };
      });
      // PEFT's name for the file that a checkpoint calls `model.safetensors`.
      await writeSafetensors(tensors, {
        writeFile: (name, content) => folder.writeFile(name, content),
        create: (name) => folder.create(`adapter_${name}`),
      });
      await folder.writeFile(
        'adapter_config.json',
        `${JSON.stringify(peftConfig(recipe.lora!, base), null, 2)}\n`,
      );
      await folder.writeFile('README.md', modelCard(summary));
    },
    { isOurs: (existing) => existing.has('adapter_config.json') },
  );
}
