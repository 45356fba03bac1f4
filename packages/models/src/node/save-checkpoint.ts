import { weightShapes, type DecoderConfig } from '../config.js';
import { configJson } from '../hf-config/config-json.js';
import type { WeightSource } from '../weights.js';
import { readStored, storedShape, storedWeights } from '../checkpoint/stored-weights.js';
import { openWeights, weightsIndexFile } from '../checkpoint/open-weights.js';
import { readJson } from '../checkpoint/read-json.js';
import { safetensorsWriter, type TensorToWrite, type WeightDType, writeSafetensors } from '../checkpoint/write-safetensors.js';
import { CheckpointError, type FileStore } from '@edgedesk/tensor';
import { writeFolderAtomic } from '@edgedesk/tensor/node';

export interface SaveCheckpointOptions {
  readonly config: DecoderConfig;
  /** Weights by the names of `weightShapes`; read one at a time and left open. */
  readonly weights: Pick<WeightSource, 'readF32'>;
  /** Beside the weights; other readers pass them over. */
  readonly furtherTensors?: readonly TensorToWrite[];
  /** From `readTokenizerFiles` or `chatMlTokenizerFiles`. */
  readonly tokenizerFiles: ReadonlyMap<string, string>;
  /** More of `generation_config.json`, e.g. sampling defaults. */
  readonly generation?: Readonly<Record<string, unknown>>;
  /** @default 'f32' */
  readonly dtype?: WeightDType;
  /** @default 4 GB */
  readonly maxShardBytes?: number;
  /** Further files, e.g. a model card. */
  readonly extraFiles?: ReadonlyMap<string, string>;
  /** Replace a folder that we did not write. @default false */
  readonly overwrite?: boolean;
  readonly onTensor?: (name: string, done: number, total: number) => void;
}

/**
 * Writes a checkpoint folder that transformers loads, whole or not at all. A folder is replaced only when its weights
 * say that we wrote them.
 */
export async function saveCheckpoint(path: string, options: SaveCheckpointOptions): Promise<void> {
  const { config, weights, dtype = 'f32' } = options;
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  const configuration = configJson(config, dtype);
  const generation = {
    ...options.generation,
    bos_token_id: configuration['bos_token_id'],
    eos_token_id: configuration['eos_token_id'],
    pad_token_id: configuration['pad_token_id'],
  };
  await writeFolderAtomic(
    path,
    async (folder) => {
      const shapes = weightShapes(config);
      const tensors = storedWeights(config).map((stored) => ({
        name: stored.name,
        shape: storedShape(stored, shapes),
        dtype,
        read: () => readStored(stored, (name) => weights.readF32(name)),
      }));
      await writeSafetensors([...tensors, ...(options.furtherTensors ?? [])], folder, {
        ...(options.maxShardBytes === undefined ? {} : { maxShardBytes: options.maxShardBytes }),
        ...(options.onTensor === undefined ? {} : { onTensor: options.onTensor }),
      });
      await folder.writeFile('config.json', json(configuration));
      await folder.writeFile('generation_config.json', json(generation));
      for (const [name, text] of [...options.tokenizerFiles, ...(options.extraFiles ?? [])]) {
        await folder.writeFile(name, text);
      }
    },
    { overwrite: options.overwrite ?? false, isOurs: isOurCheckpoint },
  );
}

async function isOurCheckpoint(store: FileStore): Promise<boolean> {
  try {
    if (await store.has(weightsIndexFile)) {
      const index = await readJson(store, weightsIndexFile, 2 ** 25);
      return (index as { metadata?: { writer?: unknown } } | null)?.metadata?.writer === safetensorsWriter;
    }
    const weights = await openWeights(store);
    await weights.close();
    return 'metadata' in weights && (weights.metadata as ReadonlyMap<string, string>).get('writer') === safetensorsWriter;
  } catch (error) {
    if (CheckpointError.isInstance(error)) return false;
    throw error;
  }
}
