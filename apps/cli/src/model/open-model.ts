import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { readManifest } from '@edgedesk/models';
import { openCheckpoint } from '@edgedesk/models/node';
import type { Engine, EngineOptions } from '@edgedesk/runtime';
import { elementCount } from '@edgedesk/tensor';
import { openFolder } from '@edgedesk/tensor/node';
import { interruptible } from '../terminal/abort.js';
import { atExit } from '../terminal/cleanup.js';
import type { EngineName } from './engine-choice.js';
import { locateModel } from './locate-model.js';

/** What an engine opens: the folder of an artefact, with llama.cpp a GGUF file. */
export interface Runnable {
  readonly engine: EngineName;
  readonly path: string;
}

/** A MODEL argument as what `engine` opens. What has to be written for it goes when the program ends. */
export async function runnableOf(model: string, engine: EngineName): Promise<Runnable> {
  return { engine, path: await (engine === 'llama.cpp' ? ggufOf(model) : artefactOf(model)) };
}

/**
 * The folder of a MODEL argument as an artefact. A checkpoint is written at full precision to a temporary folder that
 * goes when the program ends.
 */
export async function artefactOf(model: string): Promise<string> {
  const { kind, path } = await locateModel(model);
  if (kind === 'artefact') return path;
  const { compressWithProgress } = await import('./compress-model.js');
  const out = join(temporaryFolder(), basename(resolve(path)));
  await compressWithProgress(
    { model: path, out, bits: 32 },
    `Writing ${model} at 32 bits to a temporary folder`,
  );
  return out;
}

/** A MODEL argument as a GGUF file; any other model is written as one, with the same values. */
async function ggufOf(model: string): Promise<string> {
  const { path } = await locateModel(model);
  if (!statSync(path).isDirectory()) return path;
  const { exportWithProgress } = await import('./export-model.js');
  const out = join(temporaryFolder(), `${basename(resolve(path))}.gguf`);
  await exportWithProgress(
    { source: path, format: 'gguf', out, asymmetricType: 'Q5_0' },
    `Writing ${model} as GGUF to a temporary folder`,
  );
  return out;
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'edgedesk-'));
  atExit(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Loads a MODEL argument, artefact or checkpoint. */
export async function openModel(
  model: string,
  options: EngineOptions = {},
  engine: EngineName = 'onnxruntime',
): Promise<Engine> {
  return openRunnable(await runnableOf(model, engine), options);
}

/** Loads an artefact. */
export function openArtefact(folder: string, options: EngineOptions = {}): Promise<Engine> {
  return openRunnable({ engine: 'onnxruntime', path: folder }, options);
}

/** Loads a model. Ctrl-C waits for the end of it: a process that leaves ONNX Runtime halfway crashes. */
export async function openRunnable(
  { engine: name, path }: Runnable,
  options: EngineOptions = {},
): Promise<Engine> {
  const { openEngine, openLlamaEngine } = await import('@edgedesk/runtime/node');
  return interruptible(async (signal) => {
    const engine = await (name === 'llama.cpp' ? openLlamaEngine : openEngine)(path, options);
    if (signal.aborted) await engine.close();
    signal.throwIfAborted();
    return engine;
  });
}

/** What is known of a model without loading it. */
export interface ModelFacts {
  readonly name: string;
  readonly sizeBytes: number;
  readonly parameters: number;
  readonly bitsPerWeight: number;
  readonly contextLength: number;
}

export async function readModelFacts({ engine, path }: Runnable): Promise<ModelFacts> {
  if (engine === 'onnxruntime') {
    const { name, sizeBytes, parameters, bitsPerWeight, config } = await readManifest(openFolder(path));
    return { name, sizeBytes, parameters, bitsPerWeight, contextLength: config.contextLength };
  }
  const { name, config, weights } = await openCheckpoint(path);
  await weights.close();
  let parameters = 0;
  for (const { shape } of weights.tensors.values()) parameters += elementCount(shape);
  const sizeBytes = statSync(path).size;
  const bitsPerWeight = (8 * sizeBytes) / parameters;
  return { name, sizeBytes, parameters, bitsPerWeight, contextLength: config.contextLength };
}
