import * as library from '@huggingface/tokenizers';

/** Cuts a text into pieces. */
export interface PreTokenizer {
  (text: string, options?: { section_index?: number }): string[];
}

/** The parts of `@huggingface/tokenizers`' Tokenizer that we drive ourselves. */
export interface LibraryTokenizer {
  readonly normalizer: ((text: string) => string) | null;
  readonly pre_tokenizer: PreTokenizer | null;
  readonly model: (pieces: string[]) => string[];
  encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[] };
  decode(
    ids: number[],
    options?: { skip_special_tokens?: boolean; clean_up_tokenization_spaces?: boolean },
  ): string;
}

/**
 * The library's classes. Its declarations import without file extensions, which module resolution for Node does not
 * follow, so the parts in use are declared here.
 */
export const { Tokenizer: LibraryTokenizer, SequencePreTokenizer, SplitPreTokenizer } = library as unknown as {
  readonly Tokenizer: new (tokenizer: object, config: object) => LibraryTokenizer;
  readonly SequencePreTokenizer: new (config: object) => PreTokenizer;
  readonly SplitPreTokenizer: new (config: object) => PreTokenizer;
};
