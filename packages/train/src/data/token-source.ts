import { DataError } from '@edgedesk/tensor';
import type { TokenizedDocument } from './tokenized-document.js';

const magic = 0x31444b54; // "TKD1"
const headerBytes = 24;
/** Offsets are 32-bit. */
const maxTokens = 2 ** 32 - 1;

/** Tokenized documents of one file, as small as they go: this is what is cached and kept in memory. */
export interface TokenSource {
  readonly name: string;
  readonly tokens: Uint16Array | Uint32Array;
  /** Bit i (low bit first): predicting token i carries loss. */
  readonly lossBits: Uint8Array;
  /** `[documents + 1]`: document d is tokens[offsets[d] .. offsets[d + 1]). */
  readonly offsets: Uint32Array;
  /** Rows that gave no document: too long, or unusable. */
  readonly dropped: number;
}

export function carriesLoss(source: TokenSource, token: number): boolean {
  return ((source.lossBits[token >>> 3]! >>> (token & 7)) & 1) === 1;
}

/** Collects documents into a TokenSource. */
export class TokenSourceBuilder {
  readonly #wide: boolean;
  #tokens: Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
  #lossBits = new Uint8Array(8192);
  #offsets: number[] = [0];
  #length = 0;
  dropped = 0;

  constructor(
    private readonly name: string,
    vocabSize: number,
  ) {
    this.#wide = vocabSize > 65_536;
    this.#tokens = this.#wide ? new Uint32Array(65_536) : new Uint16Array(65_536);
  }

  /** Adds a document; one of fewer than two tokens predicts nothing and is dropped. */
  add(document: TokenizedDocument): void {
    const { ids, loss } = document;
    if (ids.length < 2) {
      this.dropped++;
      return;
    }
    this.#reserve(this.#length + ids.length);
    for (let i = 0; i < ids.length; i++) {
      const at = this.#length + i;
      this.#tokens[at] = ids[i]!;
      if (loss[i]) this.#lossBits[at >>> 3]! |= 1 << (at & 7);
    }
    this.#length += ids.length;
    this.#offsets.push(this.#length);
  }

  build(): TokenSource {
    return {
      name: this.name,
      tokens: this.#tokens.slice(0, this.#length),
      lossBits: this.#lossBits.slice(0, Math.ceil(this.#length / 8)),
      offsets: Uint32Array.from(this.#offsets),
      dropped: this.dropped,
    };
  }

  #reserve(length: number): void {
    if (length > maxTokens) {
      throw new DataError(`the file has more than ${maxTokens} tokens`, {
        where: this.name,
        fix: 'split it into several files',
      });
    }
    if (length <= this.#tokens.length) return;
    const capacity = Math.max(length, this.#tokens.length * 2);
    const tokens = this.#wide ? new Uint32Array(capacity) : new Uint16Array(capacity);
    tokens.set(this.#tokens);
    this.#tokens = tokens;
    const bits = new Uint8Array(Math.ceil(capacity / 8));
    bits.set(this.#lossBits);
    this.#lossBits = bits;
  }
}

/**
 * Little-endian bytes: magic, bytes a token, documents, tokens, dropped, checksum (u32 each), then offsets, tokens and
 * loss bits.
 */
export function encodeTokenSource(source: TokenSource): Uint8Array<ArrayBuffer> {
  const parts = [source.offsets, source.tokens, source.lossBits].map(bytesOf);
  const out = new Uint8Array(headerBytes + parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = headerBytes;
  for (const part of parts) {
    out.set(part, at);
    at += part.byteLength;
  }
  const header = new DataView(out.buffer, 0, headerBytes);
  [
    magic,
    source.tokens.BYTES_PER_ELEMENT,
    source.offsets.length - 1,
    source.tokens.length,
    source.dropped,
    checksum(out.subarray(headerBytes)),
  ].forEach((value, index) => header.setUint32(4 * index, value, true));
  return out;
}

/** The source that `bytes` hold, or null when they are not a whole, undamaged one. */
export function decodeTokenSource(name: string, bytes: Uint8Array<ArrayBuffer>): TokenSource | null {
  if (bytes.byteLength < headerBytes) return null;
  const header = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
  const [found, width, documents, tokens, dropped, sum] = [0, 1, 2, 3, 4, 5].map((i) =>
    header.getUint32(4 * i, true),
  ) as [number, number, number, number, number, number];
  if (found !== magic || (width !== 2 && width !== 4)) return null;
  const sizes = [4 * (documents + 1), width * tokens, Math.ceil(tokens / 8)] as const;
  if (bytes.byteLength !== headerBytes + sizes[0] + sizes[1] + sizes[2]) return null;
  if (checksum(bytes.subarray(headerBytes)) !== sum) return null;
  const body = bytes.slice(headerBytes).buffer;
  return {
    name,
    offsets: new Uint32Array(body, 0, documents + 1),
    tokens: width === 2 ? new Uint16Array(body, sizes[0], tokens) : new Uint32Array(body, sizes[0], tokens),
    lossBits: new Uint8Array(body, sizes[0] + sizes[1], sizes[2]),
    dropped,
  };
}

function bytesOf(array: Uint8Array | Uint16Array | Uint32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** FNV-1a over the bytes: tells a damaged cache file from a whole one. */
function checksum(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 0;
}
