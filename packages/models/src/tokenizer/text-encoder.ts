import { AddedTokenSplitter } from './added-tokens.js';
import { ByteLevelBpe, isByteLevel } from './byte-level-bpe.js';
import type { LibraryTokenizer } from './library.js';
import { pieceCutter } from './pieces.js';
import type { AddedTokenJson, TokenizerJson } from './tokenizer-json.js';

/** Added tokens are looked for before normalization, or, for those marked `normalized`, after it. */
interface Splitters {
  readonly before: AddedTokenSplitter;
  readonly after: AddedTokenSplitter;
}

/**
 * Text to ids: added tokens, normalizer, pre-tokenizer, merges, as the `tokenizers` library orders them. Byte-level
 * models take our own merging; others run through the library's.
 */
export class TextEncoderPipeline {
  private readonly all: Splitters;
  private readonly withoutSpecial: Splitters;
  private readonly encodeSection: (text: string, section: number, out: number[]) => void;

  constructor(
    json: TokenizerJson,
    private readonly library: LibraryTokenizer,
  ) {
    this.all = this.splitters(json.added_tokens);
    this.withoutSpecial = this.splitters(json.added_tokens.filter(({ special }) => !special));
    const cut = isByteLevel(json.model) ? pieceCutter(json.pre_tokenizer) : null;
    this.encodeSection = cut === null ? this.libraryEncoder(json) : byteLevelEncoder(json, cut, library);
  }

  /** @param atStart whether `text` begins the input: some models mark the first word only. */
  encode(text: string, allowSpecial: boolean, atStart = true): number[] {
    const { before, after } = allowSpecial ? this.all : this.withoutSpecial;
    const { normalizer } = this.library;
    const ids: number[] = [];
    before.split(text).forEach((section, i) => {
      if (typeof section !== 'string') return void ids.push(section.id);
      const normalized = normalizer === null ? section : normalizer(section);
      for (const part of after.split(normalized)) {
        if (typeof part === 'string') this.encodeSection(part, atStart ? i : i + 1, ids);
        else ids.push(part.id);
      }
    });
    return ids;
  }

  private splitters(tokens: readonly AddedTokenJson[]): Splitters {
    const { normalizer } = this.library;
    if (normalizer === null)
      return { before: new AddedTokenSplitter(tokens), after: new AddedTokenSplitter([]) };
    const isNormalized = (token: AddedTokenJson): boolean => token.normalized ?? !token.special;
    return {
      before: new AddedTokenSplitter(tokens.filter((token) => !isNormalized(token))),
      after: new AddedTokenSplitter(
        tokens.filter(isNormalized).map((token) => ({ ...token, content: normalizer(token.content) })),
      ),
    };
  }

  private libraryEncoder(json: TokenizerJson): (text: string, section: number, out: number[]) => void {
    const { pre_tokenizer: preTokenizer, model } = this.library;
    const ids = new Map(Object.entries(json.model.vocab));
    const unknown = ids.get(json.model.unk_token ?? '');
    return (text, section, out) => {
      const pieces = preTokenizer === null ? [text] : preTokenizer(text, { section_index: section });
      for (const token of model(pieces)) {
        const id = ids.get(token) ?? unknown;
        if (id !== undefined) out.push(id);
      }
    };
  }
}

function byteLevelEncoder(
  json: TokenizerJson,
  cut: (text: string) => string[],
  library: LibraryTokenizer,
): (text: string, section: number, out: number[]) => void {
  const bpe = new ByteLevelBpe(json.model, library);
  return (text, _section, out) => {
    for (const piece of cut(text)) bpe.encodePiece(piece, out);
  };
}
