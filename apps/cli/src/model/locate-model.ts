import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointError } from '@edgedesk/tensor';

/** What a MODEL argument names. */
export interface ModelPlace {
  readonly kind: 'artefact' | 'checkpoint';
  /** A checkpoint may also be one file in GGUF. */
  readonly folder: string;
}

/** Looks at the names of files only; CheckpointError when there is neither an artefact nor a checkpoint. */
export function locateModel(folder: string): ModelPlace {
  const stats = statSync(folder, { throwIfNoEntry: false });
  const fix = 'give a folder written by `edgedesk compress`, one in the Hugging Face layout, or a GGUF file';
  if (stats === undefined)
    throw new CheckpointError('there is no such folder or file', { where: folder, fix });
  // What is in a file is told by whoever opens it.
  if (!stats.isDirectory()) return { kind: 'checkpoint', folder };
  if (existsSync(join(folder, 'edgedesk.json'))) return { kind: 'artefact', folder };
  if (existsSync(join(folder, 'config.json'))) return { kind: 'checkpoint', folder };
  throw new CheckpointError(
    'the folder has neither edgedesk.json (an artefact) nor config.json (a checkpoint)',
    {
      where: folder,
      fix,
    },
  );
}
