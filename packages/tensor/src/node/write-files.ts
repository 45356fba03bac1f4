import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { FileStore } from '../bytes.js';
import { EdgeDeskError, RuntimeFailure } from '../errors.js';
import { fileInside, openFolder } from './files.js';

/** One write call takes at most 2 GiB; smaller slices also keep the page cache from stalling the process. */
const sliceBytes = 64 * 2 ** 20;

const abandonedAfterMs = 24 * 3600 * 1000;

/** A file that is being written, at any offset; parts never written are zero. */
export interface FileWriter {
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Flushes to the disk. */
  close(): Promise<void>;
}

/** A folder that is being written; nothing in it counts before the whole is there. */
export interface FolderWriter {
  /** Where the files lie for now. */
  readonly path: string;
  writeFile(name: string, content: Uint8Array | string): Promise<void>;
  create(name: string): Promise<FileWriter>;
  /** What has been written so far. */
  readonly store: FileStore;
}

export interface WriteFolderOptions {
  /** Replace the folder, whatever is in it. @default false */
  readonly overwrite?: boolean;
  /**
   * Whether an existing, non-empty folder is an earlier result that may be replaced.
   * @default it holds an `edgedesk.json`
   */
  readonly isOurs?: (existing: FileStore) => Promise<boolean>;
}

/** Writes `content`, in parts one after another, so that at every moment `path` is either the old or the whole new file. */
export async function writeFileAtomic(
  path: string,
  ...content: readonly (Uint8Array | string)[]
): Promise<void> {
  await fillFileAtomic(path, (file) => writeParts(file, content));
}

/** As `writeFileAtomic`, for a file larger than memory: `fill` writes into a hidden file beside `path`, which takes its place. */
export async function fillFileAtomic<T>(
  path: string,
  fill: (file: Pick<FileWriter, 'write'>) => Promise<T>,
): Promise<T> {
  const place = resolve(path);
  return onDisk(path, async () => {
    await makeFolders(dirname(place));
    await removeAbandoned(place);
    const partial = sibling(place);
    let result: T;
    try {
      const file = fileWriter(await open(partial, 'wx'));
      try {
        result = await fill(file);
      } finally {
        await file.close();
      }
      await rename(partial, place);
    } catch (error) {
      await rm(partial, { force: true });
      throw error;
    }
    await syncFolder(dirname(place));
    return result;
  });
}

/**
 * Writes a whole folder or nothing: `fill` works in a new folder beside `path`, which takes its place at the end. When
 * it fails nothing is left and what was there stays. RuntimeFailure when `path` is something that must not be replaced.
 */
export async function writeFolderAtomic<T>(
  path: string,
  fill: (folder: FolderWriter) => Promise<T>,
  options: WriteFolderOptions = {},
): Promise<T> {
  const place = resolve(path);
  const exists = await mayReplace(place, path, options);
  return onDisk(path, async () => {
    await makeFolders(dirname(place));
    await removeAbandoned(place);
    const partial = sibling(place);
    await mkdir(partial);
    let result: T;
    try {
      result = await fill(folderWriter(partial));
      await syncFolder(partial);
      await (exists ? exchange(partial, place) : rename(partial, place));
    } catch (error) {
      await rm(partial, { recursive: true, force: true });
      throw error;
    }
    await syncFolder(dirname(place));
    return result;
  });
}

function folderWriter(root: string): FolderWriter {
  const placeOf = async (name: string): Promise<string> => {
    const place = fileInside(root, name);
    await makeFolders(dirname(place));
    return place;
  };
  return {
    path: root,
    writeFile: async (name, content) => writeWhole(await placeOf(name), content),
    create: async (name) => fileWriter(await open(await placeOf(name), 'wx')),
    store: openFolder(root),
  };
}

function fileWriter(file: FileHandle): FileWriter {
  return {
    async write(offset, bytes) {
      for (let at = 0; at < bytes.byteLength;) {
        const slice = bytes.subarray(at, at + sliceBytes);
        at += (await file.write(slice, 0, slice.byteLength, offset + at)).bytesWritten;
      }
    },
    async close() {
      try {
        await file.sync();
      } finally {
        await file.close();
      }
    },
  };
}

async function writeWhole(path: string, ...content: readonly (Uint8Array | string)[]): Promise<void> {
  const writer = fileWriter(await open(path, 'wx'));
  try {
    await writeParts(writer, content);
  } finally {
    await writer.close();
  }
}

async function writeParts(
  file: Pick<FileWriter, 'write'>,
  content: readonly (Uint8Array | string)[],
): Promise<void> {
  let offset = 0;
  for (const part of content) {
    const bytes = typeof part === 'string' ? new TextEncoder().encode(part) : part;
    await file.write(offset, bytes);
    offset += bytes.byteLength;
  }
}

/** Whether there is a folder at `place` to be replaced. */
async function mayReplace(place: string, path: string, options: WriteFolderOptions): Promise<boolean> {
  const found = await stat(place).catch(() => null);
  if (found === null) return false;
  if (!found.isDirectory()) {
    throw new RuntimeFailure('there is a file of this name', { where: path, fix: 'choose another folder' });
  }
  if (options.overwrite === true || (await readdir(place)).length === 0) return true;
  const isOurs = options.isOurs ?? ((existing: FileStore) => existing.has('edgedesk.json'));
  if (await isOurs(openFolder(place))) return true;
  throw new RuntimeFailure('the folder holds files that EdgeDesk did not write', {
    where: path,
    fix: 'choose another folder, empty it, or allow overwriting',
  });
}

/** Puts `fresh` in the place of `old`, which is put back when that fails. */
async function exchange(fresh: string, old: string): Promise<void> {
  const aside = sibling(old);
  await rename(old, aside);
  try {
    await rename(fresh, old);
  } catch (error) {
    await rename(aside, old);
    throw error;
  }
  await rm(aside, { recursive: true, force: true });
}

/** A fresh hidden name in the same folder, hence on the same disk. */
function sibling(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.partial`);
}

/** Removes what killed processes left behind when they wrote to `path`; a day tells them from those still at work. */
async function removeAbandoned(path: string): Promise<void> {
  const folder = dirname(path);
  for (const name of await readdir(folder)) {
    const isPartial = name.startsWith(`.${basename(path)}.`) && /\.[0-9a-f]{12}\.partial$/.test(name);
    if (!isPartial) continue;
    const found = await stat(join(folder, name)).catch(() => null);
    if (found === null || Date.now() - found.mtimeMs < abandonedAfterMs) continue;
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Makes renames durable; not every system lets a folder be opened for that. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => null);
  if (folder === null) return;
  try {
    await folder.sync().catch(() => undefined);
  } finally {
    await folder.close();
  }
}

/**
 * Makes `path` and the folders above it that are missing. Node's recursive `mkdir` does not come back where the system says
 * that a folder is missing while the one above it is there, as in `/proc`. Returns the uppermost that was missing, or null.
 */
export async function makeFolders(path: string): Promise<string | null> {
  const missing: string[] = [];
  let at = resolve(path);
  while ((await stat(at).catch(() => null)) === null && at !== dirname(at)) {
    missing.push(at);
    at = dirname(at);
  }
  for (const folder of missing.reverse()) {
    await mkdir(folder).catch((error: unknown) => {
      // Somebody else was faster.
      if ((error as { code?: unknown }).code !== 'EEXIST') throw error;
    });
  }
  return missing[0] ?? null;
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EACCES: 'the permission to write is missing',
  EPERM: 'the permission to write is missing',
  EROFS: 'the disk is read-only',
  ENOTDIR: 'a part of the path is a file',
  EEXIST: 'a file is in the way',
  EISDIR: 'a folder is in the way',
  ENOTEMPTY: 'a folder is in the way',
  ENAMETOOLONG: 'the name is too long',
  ENOENT: 'no folder can be made there',
  EINVAL: 'the system does not take files there',
  ENOTSUP: 'the system does not take files there',
  EIO: 'the disk reports an error',
};

/** Whether `path` is `place`, above it, or what is written there for now. */
function isAbout(path: string, place: string): boolean {
  const partial = join(dirname(place), `.${basename(place)}.`);
  return place.startsWith(path) || path.startsWith(place) || path.startsWith(partial);
}

/** Turns what the disk refuses into one sentence; other errors pass. */
async function onDisk<T>(where: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const { code, path } = cause as { code?: unknown; path?: unknown };
    if (EdgeDeskError.isInstance(cause) || typeof code !== 'string' || reasons[code] === undefined)
      throw cause;
    // Errors about a place elsewhere are those of a file that is read.
    if (typeof path === 'string' && !isAbout(path, resolve(where))) throw cause;
    throw new RuntimeFailure(`nothing was written, since ${reasons[code]}`, {
      where,
      fix: 'make room or choose another place',
      cause,
    });
  }
}
