import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { PassThrough } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DataError } from '@edgedesk/tensor';
import { readRowStream } from '../dialogue/lines.js';
import type { Row } from '../dialogue/row.js';

/**
 * The rows of a `.jsonl` or gzip-compressed `.jsonl.gz` file, one at a time; compression is told by the first bytes, not
 * by the name. Throws a DataError naming the file, and the line when there is one. Stopping early closes the file.
 */
export async function* readRows(path: string): AsyncGenerator<Row> {
  const compressed = await isGzip(path);
  const bytes = new PassThrough();
  const stages = compressed ? [createReadStream(path), createGunzip(), bytes] : [createReadStream(path), bytes];
  // The pipeline destroys `bytes` with the error, which the loop below then throws; here it would be reported twice.
  const flow = pipeline(stages).catch(() => undefined);
  try {
    yield* readRowStream(bytes, path);
  } catch (cause) {
    if (DataError.isInstance(cause)) throw cause;
    throw new DataError(compressed ? 'the gzip data is damaged or cut off' : 'the file cannot be read', {
      where: path,
      fix: compressed ? 'fetch the file again' : 'check the disk and the permissions',
      cause,
    });
  } finally {
    bytes.destroy();
    await flow;
  }
}

const faults: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'this is a folder, not a file of rows',
  EACCES: 'the permission to read it is missing',
};

async function isGzip(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'r');
    try {
      const { bytesRead, buffer } = await file.read(new Uint8Array(2), 0, 2, 0);
      return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
    } finally {
      await file.close();
    }
  } catch (cause) {
    const code = (cause as { code?: string }).code;
    const message = faults[code ?? ''] ?? `the file cannot be opened (${code ?? 'unknown'})`;
    throw new DataError(message, {
      where: path,
      fix: code === 'EISDIR' ? 'name the files in it' : 'check the path',
      cause,
    });
  }
}
