import { AddedTokenSplitter } from './added-tokens.js';
import type { Lexicon } from './lexicon.js';
import type { AddedTokenJson } from './tokenizer-json.js';

/** Added tokens are looked for before normalization, or, for those marked `normalized`, after it. */
interface Splitters {
  readonly before: AddedTokenSplitter;
  readonly after: AddedTokenSplitter;
}

/** Text to ids: added tokens, normalizer, pre-tokenizer, merges, as the `tokenizers` library orders them. */
export class TextEncoderPipeline {
  private readonly all: Splitters;
  private readonly withoutSpecial: Splitters;

  constructor(
    addedTokens: readonly AddedTokenJson[],
    private readonly lexicon: Lexicon,
  ) {
    this.all = this.splitters(addedTokens);
    this.withoutSpecial = this.splitters(addedTokens.filter(({ special }) => !special));
  }

  /** @param atStart whether `text` begins the input: some models mark the first word only. */
  encode(text: string, allowSpecial: boolean, atStart = true): number[] {
    const { before, after } = allowSpecial ? this.all : this.withoutSpecial;
    const { normalizer } = this.lexicon;
    const ids: number[] = [];
    before.split(text).forEach((section, i) => {
      if (typeof section !== 'string') return void ids.push(section.id);
      const normalized = normalizer === null ? section : normalizer(section);
      for (const part of after.split(normalized)) {
        if (typeof part === 'string') this.lexicon.encode(part, atStart ? i : i + 1, ids);
        else ids.push(part.id);
      }
    });
    return ids;
  }

  private splitters(tokens: readonly AddedTokenJson[]): Splitters {
    const { normalizer } = this.lexicon;
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
}
