import { statSync } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { ByteSource, FileStore } from '../bytes.js';
import { CheckpointError } from '../errors.js';

/** A checkpoint or artefact has dozens of files; a folder with more was named by mistake. */
const maxListed = 10_000;
/** `onnx/model.onnx` is one level down. */
const maxDepth = 8;
/** Node reads at most 2 GiB - 1 in one call. */
const maxReadBytes = 2 ** 30;

/**
 * The files below `path`. Names are relative with `/` between parts; one that leaves the folder is refused. Links are
 * followed, since model caches consist of them. CheckpointError when there is no such folder.
 */
export function openFolder(path: string): FileStore {
  const root = resolve(path);
  const found = statSync(root, { throwIfNoEntry: false });
  if (found === undefined || !found.isDirectory()) {
    throw new CheckpointError(found === undefined ? 'there is no such folder' : 'this is not a folder', {
      where: path,
      fix: 'name the folder that holds the model',
    });
  }
  const store: FileStore = {
    name: path,
    has: async (name) => {
      const place = fileInside(root, name);
      return (await stat(place).catch(() => null))?.isFile() ?? false;
    },
    list: () => listFiles(root),
    open: async (name) => openFile(fileInside(root, name)),
    readBytes: async (name, maxBytes) => {
      const source = await store.open(name);
      try {
        if (source.sizeBytes > maxBytes) {
          throw new CheckpointError(
            `the file has ${source.sizeBytes} bytes, more than the ${maxBytes} allowed`,
            {
              where: source.name,
              fix: 'check that this is the right file',
            },
          );
        }
        return await source.read(0, source.sizeBytes);
      } finally {
        await source.close();
      }
    },
    readText: async (name, maxBytes) => {
      const bytes = await store.readBytes(name, maxBytes);
      try {
        return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
      } catch (cause) {
        throw new CheckpointError('the file is not UTF-8 text', {
          where: join(root, name),
          fix: 'copy or download it again',
          cause,
        });
      }
    },
  };
  return store;
}

/** A file as random-access bytes, read from disk as asked. CheckpointError when it cannot be opened. */
export async function openFile(path: string): Promise<ByteSource> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const found = await file.stat();
    if (!found.isFile()) throw new CheckpointError('this is not a file', { where: path });
    return new FileSource(path, found.size, file);
  } catch (cause) {
    await file?.close();
    if (CheckpointError.isInstance(cause)) throw cause;
    const code = (cause as { code?: string }).code;
    throw new CheckpointError(
      code === 'ENOENT' ? 'the file is missing' : `the file cannot be opened (${code ?? String(cause)})`,
      { where: path, fix: 'check the path and its permissions', cause },
    );
  }
}

class FileSource implements ByteSource {
  constructor(
    readonly name: string,
    readonly sizeBytes: number,
    private readonly file: FileHandle,
  ) {}

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const inside = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
    if (!inside || offset + length > this.sizeBytes) throw this.cutOff(offset, length);
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const { bytesRead } = await this.file.read(bytes, at, Math.min(length - at, maxReadBytes), offset + at);
      if (bytesRead === 0) throw this.cutOff(offset, length);
      at += bytesRead;
    }
    return bytes;
  }

  close(): Promise<void> {
    return this.file.close();
  }

  private cutOff(offset: number, length: number): CheckpointError {
    return new CheckpointError(`${length} bytes at ${offset} lie past the end of the file`, {
      where: this.name,
      fix: 'copy or download it again',
    });
  }
}

/**
 * The path of `name` below `root`. CheckpointError for a name that is absolute, climbs, or means something else on
 * another system.
 */
export function fileInside(root: string, name: string): string {
  const parts = name.split('/');
  const plain = parts.every((part) => part !== '' && part !== '.' && part !== '..');
  if (!plain || name.includes('\0') || name.includes('\\') || /^[A-Za-z]:/.test(name)) {
    throw new CheckpointError(`the file name ${JSON.stringify(name.slice(0, 200))} leaves the folder`, {
      where: root,
      fix: 'use names below the folder, with `/` between parts',
    });
  }
  return join(root, ...parts);
}

async function listFiles(root: string): Promise<string[]> {
  const files: string[] = [];
  const visit = async (folder: string, prefix: string, depth: number): Promise<void> => {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const name = `${prefix}${entry.name}`;
      const found = entry.isSymbolicLink() ? await stat(join(folder, entry.name)).catch(() => null) : entry;
      // A linked folder could lead in a circle.
      const isFolder = entry.isDirectory();
      if ((isFolder && depth >= maxDepth) || files.length >= maxListed) {
        throw new CheckpointError(
          `the folder holds more than a model (${maxListed} files, ${maxDepth} levels)`,
          {
            where: root,
            fix: 'name the folder that holds the model itself',
          },
        );
      }
      if (isFolder) await visit(join(folder, entry.name), `${name}/`, depth + 1);
      else if (found?.isFile()) files.push(name);
    }
  };
  await visit(root, '', 0);
  return files.sort();
}
