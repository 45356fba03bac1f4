import { hostname } from 'node:os';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HubError } from '@edgedesk/tensor';
import type { PartialBlob } from '../hub/index.js';

/** Whoever writes to a file does so at least every stall limit and pause; longer silence means that nobody does. */
const abandonedMs = 15 * 60_000;
const readBytes = 2 ** 20;
/** One name may hold a host's name, in what a file name may hold. */
const host = hostname().replace(/[^\w-]/g, '_').slice(0, 40);
let opened = 0;

/**
 * Opens what an earlier run left of a blob, or an empty file. While we write, it is called `ETAG.HOST-PID-N.incomplete`
 * and is ours alone; left behind in order it is `ETAG.incomplete`. The file of a process that was killed is taken over.
 */
export async function openPartial(blob: string): Promise<PartialBlob> {
  const ours = `${blob}.${host}-${process.pid}-${opened++}.incomplete`;
  for (const candidate of await leftovers(blob)) {
    // Of several processes one gets it.
    if (await rename(candidate, ours).then(() => true, () => false)) break;
  }
  const file = await open(ours, 'a+').catch((error: unknown) => Promise.reject(fileFailure(error, ours)));
  return new PartialFile(blob, ours, file, (await file.stat()).size);
}

/** How much of a blob an earlier run left. */
export async function partialSize(blob: string): Promise<number> {
  const [first] = await leftovers(blob);
  return first === undefined ? 0 : ((await stat(first).catch(() => undefined))?.size ?? 0);
}

/** The files that nobody writes to, longest first. */
async function leftovers(blob: string): Promise<string[]> {
  const folder = dirname(blob);
  const prefix = `${basename(blob)}.`;
  const names = (await readdir(folder).catch(() => [])).filter(
    (name) => name.startsWith(prefix) && name.endsWith('.incomplete'),
  );
  const found: { readonly path: string; readonly size: number }[] = [];
  for (const name of names) {
    const path = join(folder, name);
    const stats = await stat(path).catch(() => undefined);
    if (stats?.isFile() !== true) continue;
    const owner = name.slice(prefix.length, -'.incomplete'.length);
    const free = name === `${prefix}incomplete` || isDead(owner);
    if (free || Date.now() - stats.mtimeMs > abandonedMs) found.push({ path, size: stats.size });
  }
  return found.sort((a, b) => b.size - a.size).map(({ path }) => path);
}

function isDead(owner: string): boolean {
  const [, ownerHost, pid] = /^(.+)-(\d{1,10})-\d+$/.exec(owner) ?? [];
  if (ownerHost !== host) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

class PartialFile implements PartialBlob {
  constructor(
    private readonly blob: string,
    private readonly path: string,
    private readonly file: FileHandle,
    public sizeBytes: number,
  ) {}

  async *read(): AsyncIterable<Uint8Array> {
    for (let at = 0; at < this.sizeBytes; ) {
      const { bytesRead, buffer } = await this.file.read(new Uint8Array(readBytes), 0, readBytes, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async append(bytes: Uint8Array): Promise<void> {
    try {
      await this.file.appendFile(bytes);
    } catch (error) {
      throw fileFailure(error, this.path);
    }
    this.sizeBytes += bytes.byteLength;
  }

  async clear(): Promise<void> {
    await this.file.truncate(0);
    this.sizeBytes = 0;
  }

  async keep(): Promise<void> {
    await this.file.sync();
    await this.file.close();
    await rename(this.path, this.blob);
  }

  async leave(): Promise<void> {
    await this.file.close().catch(() => undefined);
    if (this.sizeBytes === 0) await rm(this.path, { force: true });
    else await rename(this.path, `${this.blob}.incomplete`).catch(() => undefined);
  }
}

export function fileFailure(error: unknown, where: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new HubError('no-space', 'the disk is full', {
    where,
    fix: 'make room and pull again: what has arrived is kept',
    cause: error,
  });
}
