import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointError } from '@edgedesk/tensor';

/** What a MODEL argument names. */
export interface ModelPlace {
  readonly kind: 'artefact' | 'checkpoint';
  /** A folder, or a checkpoint's one file in GGUF. */
  readonly path: string;
}

/** Looks at the names of files only; CheckpointError when there is neither an artefact nor a checkpoint. */
export function locateModel(path: string): ModelPlace {
  const stats = statSync(path, { throwIfNoEntry: false });
  const fix = 'give a folder written by `edgedesk compress`, one in the Hugging Face layout, or a GGUF file';
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
