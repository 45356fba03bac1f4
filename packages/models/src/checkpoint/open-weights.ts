import { CheckpointError, type FileStore } from '@edgedesk/tensor';
import type { TensorInfo, WeightSource } from '../weights.js';
import { readJson } from './read-json.js';
import { missingTensor, openSafetensors, type SafetensorsFile } from './safetensors.js';
import { safetensorsLimits } from './safetensors-header.js';

export const weightsFile = 'model.safetensors';
export const weightsIndexFile = 'model.safetensors.index.json';

/** The index names every tensor once, in about 100 bytes. */
const maxIndexBytes = safetensorsLimits.maxHeaderBytes;
/** The largest public checkpoints have some 200 shards; each is an open file. */
const maxShards = 1024;
/** A name in the same folder. */
const shardName = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\.safetensors$/;

/**
 * The weights of the checkpoint in `store`: `model.safetensors`, or the shards that `model.safetensors.index.json` names.
 * The caller closes them. CheckpointError when there are none or they are malformed.
 */
export async function openWeights(store: FileStore): Promise<WeightSource> {
  if (await store.has(weightsFile)) return openSafetensors(await store.open(weightsFile));
  if (await store.has(weightsIndexFile)) return openShards(store);
  throw new CheckpointError(`there is no \`${weightsFile}\` and no \`${weightsIndexFile}\``, {
    where: store.name,
    fix: 'name a folder with a Hugging Face checkpoint in safetensors',
  });
}

async function openShards(store: FileStore): Promise<WeightSource> {
  const where = `${store.name}/${weightsIndexFile}`;
  const shardOf = weightMap(await readJson(store, weightsIndexFile, maxIndexBytes), where);
  const shards = new Map<string, SafetensorsFile>();
  const close = async (): Promise<void> => {
    for (const shard of shards.values()) await shard.close();
  };
  try {
    for (const file of new Set(shardOf.values())) shards.set(file, await openSafetensors(await store.open(file)));
    const tensors = new Map<string, TensorInfo>();
    for (const [name, file] of shardOf) {
      const tensor = shards.get(file)!.tensors.get(name);
      if (tensor === undefined) throw missingTensor(name, `${store.name}/${file}`);
      tensors.set(name, tensor);
    }
    return {
      tensors,
      readF32: (name) => {
        const file = shardOf.get(name);
        return file === undefined ? Promise.reject(missingTensor(name, store.name)) : shards.get(file)!.readF32(name);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function weightMap(json: unknown, where: string): ReadonlyMap<string, string> {
  const fix = 'copy or download the file again';
  const map = (json as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new CheckpointError('`weight_map` is not an object', { where, fix });
  }
  const entries = Object.entries(map);
  for (const [name, file] of entries) {
    if (typeof file !== 'string' || !shardName.test(file)) {
      const shown = (JSON.stringify(file) ?? '').slice(0, 80);
      throw new CheckpointError(`\`weight_map\` puts \`${name.slice(0, 200)}\` into ${shown}, which is no shard's name`, {
        where,
        fix,
      });
    }
  }
  const shards = new Set(entries.map(([, file]) => file)).size;
  if (entries.length === 0 || shards > maxShards || entries.length > safetensorsLimits.maxTensors) {
    throw new CheckpointError(`\`weight_map\` lists ${entries.length} tensors in ${shards} files`, { where, fix });
  }
  return new Map(entries as [string, string][]);
}
