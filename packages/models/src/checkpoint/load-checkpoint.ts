import { CheckpointError, type FileStore } from '@edgedesk/tensor';
import type { DecoderConfig } from '../config.js';
import { parseConfig } from '../parse-config.js';
import { loadTokenizer } from '../tokenizer/load-tokenizer.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { tokenizerLimits } from '../tokenizer/tokenizer-json.js';
import type { WeightSource } from '../weights.js';
import { checkWeights } from './check-weights.js';
import { openWeights } from './open-weights.js';
import { readJson } from './read-json.js';
import { weightsByOurNames } from './stored-weights.js';

/** Configurations have a few kilobytes. */
const maxConfigBytes = 2 ** 20;

/** A model before compression, from a Hugging Face folder or a GGUF file; `weights` is open and the caller closes it. */
export interface Checkpoint {
  readonly config: DecoderConfig;
  readonly tokenizer: Tokenizer;
  /** The tokenizer's files by name, to be copied to another checkpoint or an artefact unchanged. */
  readonly tokenizerFiles: ReadonlyMap<string, string>;
  readonly weights: WeightSource;
  /** `generation_config.json` as it is; empty when there is none. */
  readonly generation: Readonly<Record<string, unknown>>;
}

/**
 * Opens the checkpoint in `store`: configuration, tokenizer and weights, checked against each other. CheckpointError
 * when one is missing, malformed or does not fit.
 */
export async function loadCheckpoint(store: FileStore): Promise<Checkpoint> {
  const generation = (await store.has('generation_config.json'))
    ? await readJson(store, 'generation_config.json', maxConfigBytes)
    : {};
  const configPath = `${store.name}/config.json`;
  const config = parseConfig(await readJson(store, 'config.json', maxConfigBytes), generation, configPath);
  const tokenizer = await loadTokenizer(store);
  if (tokenizer.vocabSize > config.vocabSize) {
    throw new CheckpointError(
      `the tokenizer has ids up to ${tokenizer.vocabSize - 1} but the model has ${config.vocabSize} embeddings`,
      { where: `${store.name}/tokenizer.json`, fix: 'use files of one revision' },
    );
  }
  const tokenizerFiles = await readTokenizerFiles(store);
  const opened = await openWeights(store);
  try {
    const weights = weightsByOurNames(config, opened, store.name);
    checkWeights(config, weights, store.name);
    return { config, tokenizer, tokenizerFiles, weights, generation: generation as Checkpoint['generation'] };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

const tokenizerFileNames = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
];

/** The tokenizer's files in `store` by name, to be copied to another checkpoint unchanged. */
export async function readTokenizerFiles(store: FileStore): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for (const name of tokenizerFileNames) {
    if (await store.has(name)) files.set(name, await store.readText(name, tokenizerLimits.maxFileBytes));
  }
  return files;
}
