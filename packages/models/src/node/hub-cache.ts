import { copyFile, link, readdir, readFile, rename, rm, stat, statfs, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { HubError } from '@edgedesk/tensor';
import { makeFolders, writeFileAtomic } from '@edgedesk/tensor/node';
import { commitPattern, type FileFacts, type HubStore, repoFolder } from '../hub/index.js';
import { openPartial, partialSize } from './hub-partial.js';

/** Room that other programs keep. */
const spareBytes = 64 * 2 ** 20;
const maxSnapshotFiles = 10_000;

/** A repository in a cache of huggingface_hub's layout: `blobs/ETAG`, `snapshots/COMMIT/PATH`, `refs/REVISION`. */
export interface HubCache extends HubStore {
  /** What a branch or tag stood for when it was last pulled. */
  readRef(revision: string): Promise<string | undefined>;
  snapshotPath(commit: string): string;
}

export function openHubCache(cache: string, repo: string, symlinks: boolean): HubCache {
  const root = join(cache, repoFolder(repo));
  const blobPath = (etag: string): string => join(root, 'blobs', etag);
  const snapshotPath = (commit: string): string => join(root, 'snapshots', commit);
  return {
    snapshotPath,
    snapshotFiles: (commit) => filesBelow(snapshotPath(commit)),
    hasBlob: async (etag, sizeBytes) => {
      const found = await stat(blobPath(etag)).catch(() => undefined);
      return found?.isFile() === true && found.size === sizeBytes;
    },
    reserve: (blobs) => reserve(cache, blobs, blobPath),
    openPartial: async (etag) => {
      await makeFolders(join(root, 'blobs'));
      return openPartial(blobPath(etag));
    },
    place: async (commit, path, etag) => placeFile(blobPath(etag), join(snapshotPath(commit), path), symlinks),
    setRef: async (revision, commit) => {
      if (commitPattern.test(revision)) return;
      await writeFileAtomic(join(root, 'refs', revision), commit);
    },
    readRef: async (revision) => {
      if (commitPattern.test(revision)) return revision;
      const text = await readFile(join(root, 'refs', revision), 'utf8').catch(() => '');
      return commitPattern.test(text.trim()) ? text.trim() : undefined;
    },
  };
}

/** Files by their path below `root`; a link whose blob is gone is none. */
async function filesBelow(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true }).catch(() => []);
  const files: string[] = [];
  for (const name of entries.slice(0, maxSnapshotFiles)) {
    const found = await stat(join(root, name)).catch(() => undefined);
    if (found?.isFile() === true) files.push(name.replaceAll('\\', '/'));
  }
  return files;
}

async function reserve(
  cache: string,
  blobs: readonly FileFacts[],
  blobPath: (etag: string) => string,
): Promise<void> {
  await makeFolders(cache);
  let missing = 0;
  for (const { etag, sizeBytes } of blobs) missing += Math.max(0, sizeBytes - (await partialSize(blobPath(etag))));
  if (missing === 0) return;
  const { bavail, bsize } = await statfs(cache);
  if (missing + spareBytes <= bavail * bsize) return;
  const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6).toLocaleString('en-US')} MB`;
  const message = `${megabytes(missing)} are to come and ${megabytes(bavail * bsize)} are free`;
  throw new HubError('no-space', message, { where: cache, fix: 'make room, or name another disk with --cache' });
}

const noLinks = new Set(['EPERM', 'EACCES', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'UNKNOWN', 'EXDEV', 'EMLINK']);

/** A relative link, so that the cache can be moved; where links do not work, the same file twice or a copy. */
async function placeFile(blob: string, place: string, symlinks: boolean): Promise<void> {
  await makeFolders(dirname(place));
  const partial = `${place}.${process.pid}.partial`;
  await rm(partial, { force: true });
  const made =
    (symlinks && (await works(symlink(relative(dirname(place), blob), partial)))) ||
    (await works(link(blob, partial)));
  if (!made) await copyFile(blob, partial);
  await rename(partial, place);
}

async function works(linking: Promise<void>): Promise<boolean> {
  try {
    await linking;
    return true;
  } catch (error) {
    if (noLinks.has((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}
