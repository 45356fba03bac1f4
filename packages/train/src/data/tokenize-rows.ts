import { rowToConversation, type GroundedRow, type Row } from '@edgedesk/models';
import type { TextCodec } from './codec.js';
import { dropPassage, GroundedMixer, type GroundedMixOptions } from './grounded-mix.js';
import { shortenPassages } from './shorten-passages.js';
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

/** Shares of a passage's characters to try when whole passages do not fit. */
const passageShares = [0.75, 0.5, 0.35, 0.2];

/** Foreign passages give way first, then the row's own that are not needed, then sentences around the answer's. */
function tokenizeGrounded(
  row: GroundedRow,
  index: number,
  variant: number,
  mixer: GroundedMixer,
  codec: TextCodec,
  options: TokenizeOptions,
): TokenizedDocument | null {
  for (const candidate of shrinking(row, index, variant, mixer, options.grounded.distractors)) {
    const conversation = rowToConversation(candidate);
    if (conversation.kind !== 'chat') return null;
    const document = tokenizeChatWithin(conversation.messages, codec, options.lossOn, options.maxTokens);
    if (document !== null) return document;
  }
  return null;
}

/** The row from its fullest form to its shortest. */
function* shrinking(
  row: GroundedRow,
  index: number,
  variant: number,
  mixer: GroundedMixer,
  distractors: number,
): Generator<GroundedRow> {
  let context: number | null = null;
  for (let foreign = distractors; foreign >= 0; foreign--) {
    const mixed = mixer.mix(row, index, variant, foreign);
    if (mixed.context.length !== context) yield mixed;
    context = mixed.context.length;
  }
  let needed = row;
  for (let shorter = dropPassage(row); shorter !== null; shorter = dropPassage(shorter)) {
    yield (needed = shorter);
  }
  for (const share of passageShares) {
    const cut = shortenPassages(needed, share);
    if (cut !== null) yield cut;
  }
}
