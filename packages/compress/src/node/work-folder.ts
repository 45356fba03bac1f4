import { readFile, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { writeFileAtomic } from '@edgedesk/tensor/node';
import type { Workspace } from '../sweep/workspace.js';

/** A workspace on disk beside the artefact to be; it outlives the process until it is removed. */
export interface WorkFolder extends Workspace {
  readonly path: string;
  remove(): Promise<void>;
}

/** The work folder of the artefact that goes to `outDir`: hidden, beside it, hence on the same disk. */
export function workFolder(outDir: string): WorkFolder {
  const place = resolve(outDir);
  const path = join(dirname(place), `.${basename(place)}.solved`);
  const fileOf = (name: string): string => join(path, `${name}.bin`);
  return {
    path,
    async read(name) {
      try {
        return new Uint8Array(await readFile(fileOf(name)));
      } catch (error) {
        if ((error as { code?: string }).code === 'ENOENT') return null;
        throw error;
      }
    },
    write: (name, bytes) => writeFileAtomic(fileOf(name), bytes),
    remove: () => rm(path, { recursive: true, force: true }),
  };
}
