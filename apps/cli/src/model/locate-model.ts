import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isHubModel } from '@edgedesk/models';
import { CheckpointError } from '@edgedesk/tensor';

/** What a MODEL argument names. */
export interface ModelPlace {
  readonly kind: 'artefact' | 'checkpoint';
  /** A folder, or a checkpoint's one file in GGUF. */
  readonly path: string;
}

/**
 * Finds what a MODEL argument names. `hf:REPO[@REVISION][:FILE]` is a model of a hub: as the cache has it, or else pulled
 * now. Of a local path only the names of files are looked at. CheckpointError when there is neither an artefact nor a
 * checkpoint, HubError when the hub does not give it.
 */
export async function locateModel(model: string): Promise<ModelPlace> {
  if (!isHubModel(model)) return locateLocal(model);
  const { cachedOrPulled } = await import('./pull-model.js');
  return locateLocal(await cachedOrPulled(model));
}

function locateLocal(path: string): ModelPlace {
  const stats = statSync(path, { throwIfNoEntry: false });
  const fix =
    'give a folder written by `edgedesk compress`, one in the Hugging Face layout, a GGUF file, or hf:ORG/NAME';
  if (stats === undefined) throw new CheckpointError('there is no such folder or file', { where: path, fix });
  // What is in a file is told by whoever opens it.
  if (!stats.isDirectory()) return { kind: 'checkpoint', path };
  if (existsSync(join(path, 'edgedesk.json'))) return { kind: 'artefact', path };
  if (existsSync(join(path, 'config.json'))) return { kind: 'checkpoint', path };
  throw new CheckpointError(
    'the folder has neither edgedesk.json (an artefact) nor config.json (a checkpoint)',
    {
      where: path,
      fix,
    },
  );
}
