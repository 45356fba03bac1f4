import {
  rowToConversation,
  type DialogueMessage,
  type GroundedRow,
  type IntentRow,
  type Row,
  type TextRow,
} from '@edgedesk/models';
import type { TextCodec } from './codec.js';
import { Draws } from '../random/draws.js';
import { drillsOf, type DrillOptions } from './drill.js';
import { dropPassage, groundedMixDefaults, GroundedMixer, type GroundedMixOptions } from './grounded-mix.js';
import { joinIntents, joinRows } from './join-rows.js';
import { noiseDefaults, withNoise, type NoiseOptions } from './noise.js';
import { exercisesOf, type ReadingOptions } from './reading/index.js';
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
  /** Slips in what customers type. */
  readonly noise: NoiseOptions;
  /** Messages of one intent conversation at most: it is told once what to do, then names one after the other. */
  readonly intents: number;
  /** Plain text becomes exercises in reading instead of text to continue. */
  readonly reading?: ReadingOptions | undefined;
  /** Grounded rows become drills instead of answers in full. */
  readonly drill?: DrillOptions | undefined;
  readonly seed: number;
}

/** What a recipe says of one source's rows. */
export type RowOptions = Omit<TokenizeOptions, 'maxTokens' | 'seed'>;

/** Rows as they are, one by one, with loss on the assistant. */
export const plainRows: RowOptions = {
  lossOn: 'assistant',
  grounded: groundedMixDefaults,
  noise: noiseDefaults,
  intents: 1,
};

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
  const { grounded: mix, noise, seed } = options;
  const builder = new TokenSourceBuilder(name, codec.tokenizer.vocabSize);
  const grounded: GroundedRow[] = [];
  const documents: TextRow[] = [];
  const intents: IntentRow[] = [];
  const add = (document: TokenizedDocument | null) => {
    if (document === null) builder.dropped++;
    else builder.add(document);
  };
  const addChat = (
    messages: readonly DialogueMessage[],
    index: number,
    variant: number,
    opening?: number,
  ) => {
    const copy = noisy(messages, index, variant, name, options);
    add(tokenizeChatWithin(copy, codec, options.lossOn, options.maxTokens, opening));
  };
  let count = 0;
  for await (const row of rows) {
    if (row.kind === 'grounded') grounded.push(row);
    else if (row.kind === 'retrieval') builder.dropped++;
    else if (row.kind === 'text' && options.reading !== undefined) documents.push(row);
    else if (row.kind === 'intent') intents.push(row);
    else {
      const conversation = rowToConversation(row);
      if (conversation.kind === 'text') add(tokenizeText(conversation.text, codec));
      else {
        for (let variant = 0; variant < noise.variants; variant++)
          addChat(conversation.messages, count, variant);
      }
    }
    onRow(++count);
  }
  for (let variant = 0; variant < noise.variants; variant++) {
    joinIntents(intents, options.intents, Draws.of(seed, `${name}/intents`, variant)).forEach(
      (messages, index) => addChat(messages, index, variant),
    );
  }
  if (options.reading !== undefined) {
    grounded.push(...exercisesOf(documents, options.reading, Draws.of(seed, `${name}/reading`, 0)));
  }
  const { drill } = options;
  if (drill !== undefined) {
    for (let variant = 0; variant < noise.variants; variant++) {
      drillsOf(grounded, drill, Draws.of(seed, `${name}/drill`, variant)).forEach((messages, index) =>
        addChat(messages, index, variant, drill.opening),
      );
    }
    return builder.build();
  }
  const joins = mix.questions > 1;
  // A joined row decides itself what is left unanswered.
  const mixer = new GroundedMixer(grounded, joins ? { ...mix, unanswerable: 0 } : mix, seed, name);
  for (let variant = 0; variant < mix.variants; variant++) {
    const copies = joins ? joinRows(grounded, mix, Draws.of(seed, `${name}/join`, variant)) : grounded;
    copies.forEach((row, index) => add(tokenizeGrounded(row, index, variant, mixer, name, codec, options)));
  }
  return builder.build();
}

/** The first copy of a conversation is as written. */
function noisy(
  messages: readonly DialogueMessage[],
  index: number,
  variant: number,
  name: string,
  { noise, seed }: TokenizeOptions,
): readonly DialogueMessage[] {
  if (variant === 0) return messages;
  return withNoise(messages, noise, Draws.of(seed, `${name}/noise/${index}`, variant));
}

/** Shares of a passage's characters to try when whole passages do not fit. */
const passageShares = [0.75, 0.5, 0.35, 0.2];

/** Foreign passages give way first, then the row's own that are not needed, then sentences around the answer's. */
function tokenizeGrounded(
  row: GroundedRow,
  index: number,
  variant: number,
  mixer: GroundedMixer,
  name: string,
  codec: TextCodec,
  options: TokenizeOptions,
): TokenizedDocument | null {
  for (const candidate of shrinking(row, index, variant, mixer, options.grounded.distractors)) {
    const conversation = rowToConversation(candidate);
    if (conversation.kind !== 'chat') return null;
    const messages = noisy(conversation.messages, index, variant, name, options);
    const document = tokenizeChatWithin(messages, codec, options.lossOn, options.maxTokens);
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
