import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HubError } from '@edgedesk/tensor';
import { weightsIndexFile } from '../checkpoint/open-weights.js';
import { chooseFiles, type HubModel, pullFiles, type PullProgress } from '../hub/index.js';
import { type HubCache, openHubCache } from './hub-cache.js';
import { type HubSettings, settle } from './hub-environment.js';
import { fileFailure } from './hub-partial.js';

export type { HubPlace, HubSettings } from './hub-environment.js';

export interface PullModelOptions extends HubSettings {
  /** Patterns of files; by default those that `openCheckpoint` reads. */
  readonly files?: readonly string[];
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: PullProgress) => void;
}

export interface PulledModel {
  readonly repo: string;
  readonly revision: string;
  readonly commit: string;
  /** What `openCheckpoint` opens: the snapshot's folder, or its GGUF file when that is all there is. */
  readonly path: string;
  /** By their place in the snapshot. */
  readonly files: readonly { readonly path: string; readonly sizeBytes: number }[];
  readonly downloadedBytes: number;
}

/**
 * Brings a model from a hub into the cache, or finds it there when offline. HubError when that fails; an interrupted
 * pull goes on where it stood.
 */
export async function pullModel(model: HubModel, options: PullModelOptions = {}): Promise<PulledModel> {
  const { endpoint, token, timing, fetch, cache: folder, offline, symlinks } = settle(options);
  if (offline) {
    const cached = await cachedModel(model, options);
    if (cached !== undefined) return cached;
    throw new HubError('not-cached', 'the cache does not have all of it, and we are offline', {
      where: `${model.repo}@${model.revision}`,
      fix: 'pull it while online (without --offline and HF_HUB_OFFLINE)',
    });
  }
  const cache = openHubCache(folder, model.repo, symlinks);
  const { repo, revision } = model;
  const { signal, onProgress } = options;
  try {
    const pulled = await pullFiles(
      { endpoint, fetch, timing, ...(token === undefined ? {} : { token }), ...(signal === undefined ? {} : { signal }) },
      cache,
      { repo, revision, files: patterns(model, options), hash: nodeHash, ...(onProgress === undefined ? {} : { onProgress }) },
    );
    return await describe(model, cache, pulled.commit, pulled.files, pulled.downloadedBytes);
  } catch (error) {
    throw fileFailure(error, folder);
  }
}

/** The model as the cache has it, without asking anybody; undefined when something of it is missing. */
export async function cachedModel(
  model: HubModel,
  options: PullModelOptions = {},
): Promise<PulledModel | undefined> {
  const { cache: folder, symlinks } = settle(options);
  const cache = openHubCache(folder, model.repo, symlinks);
  const commit = await cache.readRef(model.revision);
  if (commit === undefined) return undefined;
  let files: string[];
  try {
    files = chooseFiles(await cache.snapshotFiles(commit), patterns(model, options), model.repo);
  } catch (error) {
    if (error instanceof HubError) return undefined;
    throw error;
  }
  if (files.includes(weightsIndexFile) && !(await hasShards(cache.snapshotPath(commit), files))) return undefined;
  return describe(model, cache, commit, files, 0);
}

const patterns = ({ file }: HubModel, { files = [] }: PullModelOptions): readonly string[] =>
  file === undefined ? files : [file, ...files];

/** Whether every shard that the index names is among `files`; what else is wrong with an index says who opens it. */
async function hasShards(snapshot: string, files: readonly string[]): Promise<boolean> {
  try {
    const json: unknown = JSON.parse(await readFile(join(snapshot, weightsIndexFile), 'utf8'));
    const { weight_map: shards } = json as { weight_map?: Record<string, unknown> };
    return Object.values(shards ?? {}).every((shard) => files.includes(String(shard)));
  } catch {
    return false;
  }
}

async function describe(
  { repo, revision, file }: HubModel,
  cache: HubCache,
  commit: string,
  paths: readonly string[],
  downloadedBytes: number,
): Promise<PulledModel> {
  const snapshot = cache.snapshotPath(commit);
  const files = [];
  for (const path of paths) files.push({ path, sizeBytes: (await stat(join(snapshot, path))).size });
  const ggufs = paths.filter((path) => path.endsWith('.gguf'));
  const only = file ?? (ggufs.length === 1 && !paths.includes('config.json') ? ggufs[0] : undefined);
  const path = only === undefined ? snapshot : join(snapshot, only);
  return { repo, revision, commit, path, files, downloadedBytes };
}

function nodeHash(algorithm: 'sha256' | 'sha1'): { update(bytes: Uint8Array): void; hex(): string } {
  const hash = createHash(algorithm);
  return {
    update: (bytes) => void hash.update(bytes),
    // A copy, so that it may be asked for more than once.
    hex: () => hash.copy().digest('hex'),
  };
}
