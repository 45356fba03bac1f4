import { rowToConversation, type GroundedRow, type Row } from '@edgedesk/models';
import type { TextCodec } from './codec.js';
import { dropPassage, GroundedMixer, type GroundedMixOptions } from './grounded-mix.js';
import { TokenSourceBuilder, type TokenSource } from './token-source.js';
import {
  tokenizeChatWithin,
  tokenizeText,
  type LossOn,
  type TokenizedDocument,
} from './tokenized-document.js';

/** How rows become documents; part of the cache key together with the file and the tokenizer. */
export interface TokenizeOptions {
  /** Tokens a conversation may have: what fits into one packed row. */
  readonly maxTokens: number;
  /** Where loss falls in conversations; plain text always carries it everywhere. */
  readonly lossOn: LossOn;
  readonly grounded: GroundedMixOptions;
  readonly seed: number;
}

/**
 * Tokenizes the rows of one file. Conversations that cannot be shortened to `maxTokens` are dropped and counted, and so
 * are retrieval rows, which carry no language to learn from.
 */
export async function tokenizeRows(
  rows: AsyncIterable<Row>,
  name: string,
  codec: TextCodec,
  options: TokenizeOptions,
  onRow: (count: number) => void = () => undefined,
): Promise<TokenSource> {
  const builder = new TokenSourceBuilder(name, codec.tokenizer.vocabSize);
  const grounded: GroundedRow[] = [];
  const add = (document: TokenizedDocument | null) => {
    if (document === null) builder.dropped++;
    else builder.add(document);
  };
  let count = 0;
  for await (const row of rows) {
    if (row.kind === 'grounded') {
      grounded.push(row);
    } else if (row.kind === 'retrieval') {
      builder.dropped++;
    } else {
      const conversation = rowToConversation(row);
      add(
        conversation.kind === 'text'
          ? tokenizeText(conversation.text, codec)
          : tokenizeChatWithin(conversation.messages, codec, options.lossOn, options.maxTokens),
      );
    }
    onRow(++count);
  }
  const mixer = new GroundedMixer(grounded, options.grounded, options.seed, name);
  grounded.forEach((row, index) => {
    for (let variant = 0; variant < options.grounded.variants; variant++) {
      add(tokenizeGrounded(row, index, variant, mixer, codec, options));
    }
  });
  return builder.build();
}

/** Foreign passages give way first, then the row's own that are not needed, then the oldest turns. */
function tokenizeGrounded(
  row: GroundedRow,
  index: number,
  variant: number,
  mixer: GroundedMixer,
  codec: TextCodec,
  options: TokenizeOptions,
): TokenizedDocument | null {
  const attempt = (candidate: GroundedRow) => {
    const conversation = rowToConversation(candidate);
    if (conversation.kind !== 'chat') return null;
    return tokenizeChatWithin(conversation.messages, codec, options.lossOn, options.maxTokens);
  };
  for (let foreign = options.grounded.distractors; foreign >= 0; foreign--) {
    const document = attempt(mixer.mix(row, index, variant, foreign));
    if (document !== null) return document;
  }
  for (let shorter = dropPassage(row); shorter !== null; shorter = dropPassage(shorter)) {
    const document = attempt(shorter);
    if (document !== null) return document;
  }
  return null;
}
