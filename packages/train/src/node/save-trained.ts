import { dirname, join, relative, resolve } from 'node:path';
import { readTokenizerFiles, writeSafetensors, type DecoderConfig } from '@edgedesk/models';
import { openFolder, saveCheckpoint } from '@edgedesk/models/node';
import { writeFolderAtomic } from '@edgedesk/tensor/node';
import { adaptersByWeight, mergeAdapter } from '../lora/merge.js';
import { peftConfig, peftName } from '../lora/peft.js';
import type { Recipe } from '../recipe/recipe-schema.js';
import type { Trainer } from '../trainer/trainer.js';
import type { Base } from './base-model.js';
import { modelCard } from './model-card.js';
import type { RunTokenizer } from './recipe-tokenizer.js';
import type { TrainingSummary } from './training-summary.js';

export interface TrainedModel {
  readonly recipe: Recipe;
  readonly recipePath: string;
  readonly config: DecoderConfig;
  readonly trainer: Trainer;
  readonly base: Base | null;
  readonly tokenizer: RunTokenizer;
  readonly summary: TrainingSummary;
  /** Folder of the run. */
  readonly outDir: string;
}

/**
 * Writes the finished model: `model/` in the Hugging Face layout, and under LoRA `adapter/` in PEFT's. Returns the folder
 * to use: `model/`, or `adapter/` when the recipe asks not to merge.
 */
export async function saveTrainedModel(trained: TrainedModel): Promise<string> {
  const { recipe, config, base, tokenizer, outDir } = trained;
  if (recipe.lora !== undefined) {
    const adapter = join(outDir, 'adapter');
    await saveAdapter(trained, adapter);
    if (!recipe.output.merge) return adapter;
  }
  const model = join(outDir, 'model');
  await saveCheckpoint(model, {
    config,
    weights: { readF32: (name) => Promise.resolve(finalWeight(trained, name)) },
    tokenizerFiles: await readTokenizerFiles(openFolder(tokenizer.folder)),
    dtype: recipe.output.dtype,
    generation: base?.generation ?? {},
    extraFiles: new Map([['README.md', modelCard(trained.summary)]]),
  });
  return model;
}

/** A weight of the finished model; under LoRA the base's with its adapter merged in. */
function finalWeight(
  { recipe, config, trainer, base }: TrainedModel,
  name: string,
): Float32Array<ArrayBuffer> {
  const trained = (parameter: string) => trainer.arena.tensor(trainer.exported, parameter).data;
  if (recipe.lora === undefined) return trained(name).slice();
  const weight = Float32Array.from(base!.frozen!.get(name)!.data as Float32Array);
  const adapter = adaptersByWeight(config, recipe.lora).get(name);
  if (adapter !== undefined) {
    const { rank, alpha } = recipe.lora;
    mergeAdapter(weight, trained(adapter.a), trained(adapter.b), rank, alpha / rank);
  }
  return weight;
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
