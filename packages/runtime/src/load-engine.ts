import { loadTokenizer, type Manifest, readManifest, type Tokenizer } from '@edgedesk/models';
import { CheckpointError, type FileStore, type OrtBackend } from '@edgedesk/tensor';
import type { Engine, ModelInfo } from './engine.js';
import { PassCost } from './generate/pass-cost.js';
import { Turns } from './generate/turns.js';
import { loadTokenModel, type TokenModelOptions } from './model/ort-token-model.js';
import type { TokenModel } from './model/token-model.js';
import { TokenEngine } from './token-engine.js';

export interface EngineOptions extends TokenModelOptions {
  /** Conversations at once; the next one is refused. @default 64 */
  readonly maxConversations?: number;
  /** Tokens of each chunk after the first. @default as many as take about 60 ms, 4 to 32 */
  readonly chunkTokens?: number;
  /** Prompt tokens read in one turn: the memory for activations grows with it. @default 64 */
  readonly promptPiece?: number;
}

export interface LoadOptions extends EngineOptions {
  /** The artefact. */
  readonly store: FileStore;
  readonly backend: OrtBackend;
  /** Where the session finds the model's data files: their folder (Node) or the files by name (browser). */
  readonly externalData: string | ReadonlyMap<string, Uint8Array>;
}

/**
 * Opens an artefact in this thread: checks it, puts the loop around its decoder and loads the weights once. Where the
 * platform computes synchronously (Node), prefer `openEngine`, which computes in a worker.
 */
export function loadEngine(options: LoadOptions): Promise<Engine> {
  const { store, backend, externalData } = options;
  return assembleEngine(store, options, ({ model, config }) =>
    loadTokenModel({ store, backend, model, config, externalData }, options),
  );
}

/** The engine of the artefact in `store`, which `load` loads wherever it likes once the artefact has been checked. */
export async function assembleEngine(
  store: FileStore,
  options: EngineOptions,
  load: (manifest: Manifest) => Promise<TokenModel>,
): Promise<Engine> {
  const manifest = withinFirstContext(await readManifest(store));
  await checkSizes(store, manifest);
  // The model first: while it loads, its file and its packed weights are both in memory, which is the peak.
  const model = await load(manifest);
  try {
    const tokenizer = await loadTokenizer(store);
    checkVocabulary(tokenizer, manifest, store.name);
    return engineOf(infoOf(manifest), tokenizer, model, options);
  } catch (error) {
    await model.release();
    throw error;
  }
}

/** Text and turns over a model that is loaded, which the engine owns from here on. */
export function engineOf(
  info: ModelInfo,
  tokenizer: Tokenizer,
  model: TokenModel,
  options: EngineOptions = {},
): Engine {
  const { maxConversations = 64, promptPiece = 64, chunkTokens } = options;
  return new TokenEngine(info, tokenizer, {
    model,
    turns: new Turns(maxConversations),
    promptPiece,
    chunkTokens,
    passCost: new PassCost(),
    streamDecoder: () => tokenizer.streamDecoder({ skipSpecial: true }),
  });
}

/**
 * LongRoPE has two sets of frequencies, and the length of a text decides between them. Keys that are kept while a text grows
 * would hold both; so the engine's context is the first one, for which the one set is meant.
 */
function withinFirstContext(manifest: Manifest): Manifest {
  const { contextLength, ropeScaling: scaling } = manifest.config;
  if (scaling?.kind !== 'longrope' || scaling.originalContext >= contextLength) return manifest;
  return { ...manifest, config: { ...manifest.config, contextLength: scaling.originalContext } };
}

function checkVocabulary(tokenizer: Tokenizer, { config }: Manifest, where: string): void {
  if (tokenizer.vocabSize <= config.vocabSize) return;
  throw new CheckpointError(
    `the tokenizer has ${tokenizer.vocabSize} tokens but the model knows ${config.vocabSize}`,
    { where, fix: 'use the tokenizer that the model was trained with' },
  );
}

/** A file cut short would be read as weights of nonsense; full hashes are `edgedesk inspect`'s business. */
async function checkSizes(store: FileStore, manifest: Manifest): Promise<void> {
  for (const { path, sizeBytes } of manifest.files) {
    const where = `${store.name}/${path}`;
    const fix = 'copy or download the artefact again';
    if (!(await store.has(path))) throw new CheckpointError('the file is missing', { where, fix });
    const source = await store.open(path);
    const found = source.sizeBytes;
    await source.close();
    if (found !== sizeBytes) {
      throw new CheckpointError(`the file has ${found} bytes but the manifest says ${sizeBytes}`, {
        where,
        fix,
      });
    }
  }
}

function infoOf(manifest: Manifest): ModelInfo {
  const { name, config, parameters, sizeBytes, bitsPerWeight } = manifest;
  return {
    name,
    vocabSize: config.vocabSize,
    contextLength: config.contextLength,
    layerCount: config.layerCount,
    parameters,
    sizeBytes,
    bitsPerWeight,
  };
}
