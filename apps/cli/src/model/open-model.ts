import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { readManifest } from '@edgedesk/models';
import type { Engine, EngineOptions } from '@edgedesk/runtime';
import { openFolder } from '@edgedesk/tensor/node';
import { interruptible } from '../terminal/abort.js';
import { atExit } from '../terminal/cleanup.js';
import { locateModel } from './locate-model.js';

/**
 * The folder of a MODEL argument as an artefact. A checkpoint is written at full precision to a temporary folder that
 * goes when the program ends.
 */
export async function artefactOf(model: string): Promise<string> {
  const { kind, path } = await locateModel(model);
  if (kind === 'artefact') return path;
  const { compressWithProgress } = await import('./compress-model.js');
  const temporary = mkdtempSync(join(tmpdir(), 'edgedesk-'));
  atExit(() => rmSync(temporary, { recursive: true, force: true }));
  const out = join(temporary, basename(resolve(path)));
  await compressWithProgress(
    { model: path, out, bits: 32 },
    `Writing ${model} at 32 bits to a temporary folder`,
  );
  return out;
}

/** Loads a MODEL argument, artefact or checkpoint. */
export async function openModel(model: string, options: EngineOptions = {}): Promise<Engine> {
  return openArtefact(await artefactOf(model), options);
}

/** Loads an artefact. Ctrl-C waits for the end of it: a process that leaves ONNX Runtime halfway crashes. */
export async function openArtefact(folder: string, options: EngineOptions = {}): Promise<Engine> {
  const { openEngine } = await import('@edgedesk/runtime/node');
  return interruptible(async (signal) => {
    const engine = await openEngine(folder, options);
    if (signal.aborted) await engine.close();
    signal.throwIfAborted();
    return engine;
  });
}

/** What an artefact weighs, without loading it. */
export async function readModelFacts(folder: string) {
  const { name, sizeBytes, parameters, bitsPerWeight } = await readManifest(openFolder(folder));
  return { name, sizeBytes, parameters, bitsPerWeight };
}
