import { readFileSync } from 'node:fs';
import { memorySource } from '@edgedesk/tensor';
import { HeaderCursor } from './header-cursor.js';
import { type GgufValue, readMetadata } from './read-metadata.js';

/** What llama.cpp makes of the files here; see `fixtures/make-fixtures.py`. */
export interface GgufReference {
  readonly texts: readonly string[];
  /** By pre-tokenizer: ids of each text, its special tokens read as text or as tokens. */
  readonly tokenized: Readonly<Record<string, readonly { readonly plain: number[]; readonly special: number[] }[]>>;
  /** Logits by position. */
  readonly decoders: Readonly<Record<string, { readonly ids: number[]; readonly logits: Record<string, number[]> }>>;
}

export const ggufReference = JSON.parse(
  readFileSync(new URL('fixtures/reference.json', import.meta.url), 'utf8'),
) as GgufReference;

export function ggufFixture(name: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(readFileSync(new URL(`fixtures/${name}.gguf`, import.meta.url)));
}

/** The metadata of a fixture, to be changed. */
export async function ggufMetadata(name: string): Promise<Map<string, GgufValue>> {
  const cursor = new HeaderCursor(memorySource(name, ggufFixture(name)));
  await cursor.need(24);
  cursor.bytes(16);
  return readMetadata(cursor, cursor.u64());
}

/** Of Gemma 3, Phi-3 and Llama 3.1; see `fixtures/make-architectures.py`. */
export interface ArchitectureReference {
  /** Ids of the byte-level vocabulary of `llama.gguf`, its text cut as GPT-4o's tokenizer does. */
  readonly gpt4o: {
    readonly texts: readonly string[];
    readonly tokenized: readonly { readonly plain: number[]; readonly special: number[] }[];
  };
  readonly texts: readonly string[];
  readonly tokenized: Readonly<Record<string, readonly { readonly plain: number[]; readonly special: number[] }[]>>;
  readonly decoders: GgufReference['decoders'];
  /** Phi-3 in a context beyond its first. */
  readonly long: GgufReference['decoders'][string];
}

export const architectureReference = JSON.parse(
  readFileSync(new URL('fixtures/architectures.json', import.meta.url), 'utf8'),
) as ArchitectureReference;
