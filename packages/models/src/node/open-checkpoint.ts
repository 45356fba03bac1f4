import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { CheckpointError } from '@edgedesk/tensor';
import { openFile, openFolder } from '@edgedesk/tensor/node';
import { type Checkpoint, loadCheckpoint } from '../checkpoint/load-checkpoint.js';
import { snapshotName } from '../hub/repo-name.js';
import { isGguf, openGguf } from '../gguf/open-gguf.js';

/** A checkpoint on disk; `weights` is open and the caller closes it. */
export interface CheckpointOnDisk extends Checkpoint {
  /** For people: the last part of the path, or the repository's name when it lies in a hub's cache. */
  readonly name: string;
}

/**
 * Opens what a user names as a model before compression: a folder in the Hugging Face layout, or a GGUF file.
 * CheckpointError when it is neither, or malformed.
 */
export async function openCheckpoint(path: string): Promise<CheckpointOnDisk> {
  const found = await stat(path).catch(() => null);
  const name = snapshotName(resolve(path)) ?? basename(resolve(path));
  if (found === null || found.isDirectory()) return { ...(await loadCheckpoint(openFolder(path))), name };
  const source = await openFile(path);
  if (!(await isGguf(source))) {
    await source.close();
    throw new CheckpointError('this file is no GGUF file', {
      where: path,
      fix: 'name a GGUF file, or a folder in the Hugging Face layout',
    });
  }
  return { ...(await openGguf(source)), name: name.replace(/\.gguf$/i, '') };
}
