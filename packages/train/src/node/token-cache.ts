import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '@edgedesk/tensor';
import { readRows } from '@edgedesk/models/node';
import { writeFileAtomic } from '@edgedesk/tensor/node';
import type { TextCodec } from '../data/codec.js';
import { decodeTokenSource, encodeTokenSource, type TokenSource } from '../data/token-source.js';
import { tokenizeRows, type TokenizeOptions } from '../data/tokenize-rows.js';
import type { OnTrainEvent } from '../trainer/events.js';

/** Raise when `tokenizeRows` or the format gives other bytes for the same input. */
const cacheVersion = 2;
const reportEveryRows = 500;

/** A tokenized file and what it was made of. */
export interface CachedSource {
  readonly source: TokenSource;
  /** Hash of the file's contents, the tokenizer and the options. */
  readonly key: string;
}

/** Tokenizes data files once: what was made of the same file, tokenizer and options is read back. */
export class TokenCache {
  constructor(
    private readonly folder: string,
    private readonly codec: TextCodec,
    private readonly onEvent: OnTrainEvent,
  ) {}

  /** `label` names the file in the cache key and in reports: the same recipe elsewhere gives the same key. */
  async load(path: string, label: string, options: TokenizeOptions): Promise<CachedSource> {
    const key = await this.#key(path, label, options);
    const file = join(this.folder, `${key}.tokens`);
    const cached = await readFile(file).catch(() => null);
    const known = cached === null ? null : decodeTokenSource(label, new Uint8Array(cached));
    if (known !== null) return { source: known, key };

    const what = `tokenizing ${label}`;
    const source = await tokenizeRows(readRows(path), label, this.codec, options, (done) => {
      if (done % reportEveryRows === 0) this.onEvent({ type: 'prepare', what, done });
    });
    await writeFileAtomic(file, encodeTokenSource(source));
    return { source, key };
  }

  async #key(path: string, label: string, options: TokenizeOptions): Promise<string> {
    const hash = createHash('sha256');
    hash.update(JSON.stringify([cacheVersion, this.codec.fingerprint, label, options]));
    try {
      for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    } catch (cause) {
      throw new DataError('the file cannot be read', { where: path, fix: 'check the path', cause });
    }
    return hash.digest('hex').slice(0, 40);
  }
}
