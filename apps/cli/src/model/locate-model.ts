import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointError } from '@edgedesk/tensor';

/** What a MODEL argument names. */
export interface ModelPlace {
  readonly kind: 'artefact' | 'checkpoint';
  readonly folder: string;
}

/** Looks at a folder's files only; CheckpointError when it is neither an artefact nor a checkpoint. */
export function locateModel(folder: string): ModelPlace {
  const stats = statSync(folder, { throwIfNoEntry: false });
  const fix = 'give a folder written by `edgedesk compress` or one in the Hugging Face layout';
  if (stats === undefined) throw new CheckpointError('there is no such folder', { where: folder, fix });
  if (!stats.isDirectory())
    throw new CheckpointError('a model is a folder, and this is a file', { where: folder, fix });
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
