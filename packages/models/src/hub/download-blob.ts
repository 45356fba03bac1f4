import { HubError } from '@edgedesk/tensor';
import type { HubClient } from './client.js';
import { failureOf, PassingFailure } from './failure.js';
import type { FileFacts } from './repo-files.js';
import { withRetries } from './retry.js';
import { type Exchange, send } from './send.js';

/** A file that is on its way, on disk, so that it outlives us. */
export interface PartialBlob {
  /** What is there. */
  readonly sizeBytes: number;
  read(): AsyncIterable<Uint8Array>;
  append(bytes: Uint8Array): Promise<void>;
  /** Back to nothing. */
  clear(): Promise<void>;
  /** It is whole and right: moves it to its place. */
  keep(): Promise<void>;
  /** Closes it and leaves it for the next time. */
  leave(): Promise<void>;
}

/** A running checksum. */
export interface BlobHash {
  update(bytes: Uint8Array): void;
  hex(): string;
}

export interface DownloadOptions {
  readonly partial: PartialBlob;
  /** A fresh SHA-256 or SHA-1. */
  readonly hash: (algorithm: 'sha256' | 'sha1') => BlobHash;
  /** How much of the file is there; it falls when a file starts anew. */
  readonly onBytes: (bytes: number) => void;
}

/**
 * Fetches what is missing of one file behind `partial`, and keeps it when its checksum is right. Cuts, stalls and
 * failures of the server are retried from where it stands; a wrong checksum once, from the start. HubError otherwise,
 * with `partial` left for the next time.
 */
export async function downloadBlob(client: HubClient, file: FileFacts, options: DownloadOptions): Promise<void> {
  const { partial } = options;
  const download = new Download(client, file, options);
  try {
    await download.resume();
    const resumed = partial.sizeBytes > 0;
    await download.fetchRest();
    if (!download.isRight()) {
      await download.restart();
      await download.fetchRest();
    }
    if (!download.isRight()) {
      await partial.clear();
      throw new HubError('mismatch', `the bytes that came are not the file: their ${download.algorithm} is wrong`, {
        where: download.where,
        fix: resumed ? 'try again' : 'try again, or another endpoint',
      });
    }
    await partial.keep();
  } catch (error) {
    await partial.leave();
    throw error;
  }
}

class Download {
  readonly algorithm: 'sha256' | 'sha1';
  readonly where: string;
  #hash: BlobHash;
  /** The validator that each origin gave; a range is asked for on the condition that it still holds. */
  readonly #etags = new Map<string, string>();

  constructor(
    private readonly client: HubClient,
    private readonly file: FileFacts,
    private readonly options: DownloadOptions,
  ) {
    this.algorithm = file.etag.length === 64 ? 'sha256' : 'sha1';
    this.where = new URL(file.url).host + `: ${file.path}`;
    this.#hash = this.#freshHash();
    this.#etags.set(new URL(file.url).origin, `"${file.etag}"`);
  }

  #freshHash(): BlobHash {
    const hash = this.options.hash(this.algorithm);
    // Git hashes a blob behind a header of its type and size.
    if (this.algorithm === 'sha1') hash.update(new TextEncoder().encode(`blob ${this.file.sizeBytes}\0`));
    return hash;
  }

  async resume(): Promise<void> {
    const { partial, onBytes } = this.options;
    if (partial.sizeBytes > this.file.sizeBytes) await partial.clear();
    for await (const chunk of partial.read()) {
      this.client.signal?.throwIfAborted();
      this.#hash.update(chunk);
    }
    onBytes(partial.sizeBytes);
  }

  async restart(): Promise<void> {
    await this.options.partial.clear();
    this.#hash = this.#freshHash();
    this.options.onBytes(0);
  }

  isRight(): boolean {
    return this.#hash.hex() === this.file.etag;
  }

  async fetchRest(): Promise<void> {
    const { partial } = this.options;
    await withRetries(
      this.client,
      async () => {
        if (partial.sizeBytes === this.file.sizeBytes) return;
        const from = partial.sizeBytes;
        const exchange = await send(this.client, 'GET', this.file.url, {
          headersFor: (origin) => (from === 0 ? {} : this.#rangeHeaders(from, origin)),
        });
        try {
          await this.#take(exchange, from);
        } finally {
          exchange.close();
        }
      },
      () => partial.sizeBytes,
    );
  }

  #rangeHeaders(from: number, origin: string): Record<string, string> {
    const etag = this.#etags.get(origin);
    return { range: `bytes=${from}-`, ...(etag === undefined ? {} : { 'if-range': etag }) };
  }

  async #take(exchange: Exchange, from: number): Promise<void> {
    const { partial, onBytes } = this.options;
    const { sizeBytes } = this.file;
    const { status, headers } = exchange;
    if (status === 206 ? !isRest(headers.get('content-range'), from, sizeBytes) : status === 416) {
      // Without a range there is nothing to get wrong.
      await this.restart();
      throw new PassingFailure('untrue', 'the server gives another part of the file than was asked for', this.where);
    }
    if (status !== 200 && status !== 206) throw failureOf(this.client, exchange, 'the file', this.where);
    const encoding = headers.get('content-encoding') ?? 'identity';
    if (encoding !== 'identity') throw this.#untrue(`the server sends the file as ${encoding}, which was not asked for`);
    if (status === 200 && from > 0) await this.restart();
    const due = sizeBytes - partial.sizeBytes;
    const announced = headers.get('content-length');
    if (announced !== null && Number(announced) > due) {
      throw this.#untrue(`the server sends ${announced} bytes where ${due} are due`);
    }
    const etag = headers.get('etag');
    if (etag !== null && etag.startsWith('"')) this.#etags.set(exchange.origin, etag);
    for await (const bytes of exchange.read()) {
      if (partial.sizeBytes + bytes.byteLength > sizeBytes) {
        throw this.#untrue(`the server sends more than the ${sizeBytes} bytes it spoke of`);
      }
      this.#hash.update(bytes);
      await partial.append(bytes);
      onBytes(partial.sizeBytes);
    }
    if (partial.sizeBytes < sizeBytes) {
      const message = `the server ended after ${partial.sizeBytes} of ${sizeBytes} bytes`;
      throw new PassingFailure('cut', message, this.where);
    }
  }

  #untrue(message: string): HubError {
    return new HubError('untrue', message, { where: this.where, fix: 'check the endpoint' });
  }
}

/** Whether a Content-Range starts at `from` and belongs to a file of `sizeBytes`. */
function isRest(header: string | null, from: number, sizeBytes: number): boolean {
  const [, first, , total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(header ?? '') ?? [];
  return first === String(from) && (total === String(sizeBytes) || total === '*');
}
