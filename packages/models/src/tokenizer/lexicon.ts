import { ByteLevelBpe } from './byte-level-bpe.js';
import { ByteVocabulary } from './byte-vocabulary.js';
import { LibraryTokenizer } from './library.js';
import { pieceCutter } from './pieces.js';
import type { TokenizerJson } from './tokenizer-json.js';

/** The vocabulary and merges of a tokenizer, made ready to use: text without added tokens to ids, and back. */
export interface Lexicon {
  /** One more than the largest id of the vocabulary; added tokens may lie above. */
  readonly size: number;
  readonly normalizer: ((text: string) => string) | null;
  idOf(token: string): number | undefined;
  /** Appends the ids of `text`, the `section`th part of its input: some models mark the first word only. */
  encode(text: string, section: number, out: number[]): void;
  readonly decoding: Decoding;
}

/** What tokens say: each its own bytes (null for ids without any), or a text that depends on their neighbours. */
export type Decoding =
  | { readonly kind: 'bytes'; readonly of: (id: number) => Uint8Array<ArrayBuffer> | null }
  | { readonly kind: 'text'; readonly has: (id: number) => boolean; readonly of: (ids: readonly number[]) => string };

/** Byte-level models take our own tables and merging; others run through the library. */
export function createLexicon(json: TokenizerJson): Lexicon {
  const { byte_fallback: fallback, fuse_unk: fused, vocab } = json.model;
  const inBytes = json.decoder?.type === 'ByteLevel' && fallback !== true && fused !== true;
  const vocabulary = inBytes ? new ByteVocabulary(vocab) : null;
  const cut = vocabulary === null ? null : pieceCutter(json.pre_tokenizer);
  if (vocabulary !== null && cut !== null) return byteLexicon(json, vocabulary, cut);
  return libraryLexicon(json, vocabulary);
}

function byteLexicon(json: TokenizerJson, vocabulary: ByteVocabulary, cut: (text: string) => string[]): Lexicon {
  // The library keeps what it is given, and builds string maps of it: here it is only asked to normalize.
  const stages = new LibraryTokenizer({ ...json, model: { ...json.model, vocab: {}, merges: [] } }, {});
  const bpe = new ByteLevelBpe(json.model, vocabulary);
  return {
    size: vocabulary.size,
    normalizer: stages.normalizer,
    idOf: (token) => vocabulary.idOf(token),
    encode(text, _section, out) {
      for (const piece of cut(text)) bpe.encodePiece(piece, out);
    },
    decoding: { kind: 'bytes', of: (id) => vocabulary.bytesOf(id) },
  };
}

function libraryLexicon(json: TokenizerJson, vocabulary: ByteVocabulary | null): Lexicon {
  const library = new LibraryTokenizer(json, {});
  const { pre_tokenizer: preTokenizer, model, normalizer } = library;
  const ids = new Map(Object.entries(json.model.vocab));
  const known = new Set(ids.values());
  const unknown = ids.get(json.model.unk_token ?? '');
  return {
    size: [...known].reduce((most, id) => Math.max(most, id + 1), 0),
    normalizer,
    idOf: (token) => ids.get(token),
    encode(text, section, out) {
      const pieces = preTokenizer === null ? [text] : preTokenizer(text, { section_index: section });
      for (const token of model(pieces)) {
        const id = ids.get(token) ?? unknown;
        if (id !== undefined) out.push(id);
      }
    },
    decoding:
      vocabulary === null
        ? { kind: 'text', has: (id) => known.has(id), of: (tokens) => library.decode([...tokens], { clean_up_tokenization_spaces: false }) }
        : { kind: 'bytes', of: (id) => vocabulary.bytesOf(id) },
  };
}
