import { CheckpointError, EdgeDeskError } from '@edgedesk/tensor';
import { ChatEncoder } from './chat-encoder.js';
import { ChatTemplate, type NamedTokens } from './chat-template.js';
import { createLexicon, type Lexicon } from './lexicon.js';
import { ByteStreamDecoder, WindowStreamDecoder } from './stream-decoder.js';
import { TextEncoderPipeline } from './text-encoder.js';
import type { ChatMessage, ChatTemplateOptions, EncodedChat, StreamDecoder, Tokenizer } from './tokenizer.js';
import { parseTokenizerJson, type TokenizerJson } from './tokenizer-json.js';

export interface TokenizerParts {
  /** Parsed `tokenizer.json`; checked here. */
  readonly json: unknown;
  /** Jinja source. */
  readonly chatTemplate?: string | null;
  readonly namedTokens?: NamedTokens;
  /** For messages. @default 'tokenizer.json' */
  readonly where?: string;
  /** File of the chat template, for messages. @default `where` */
  readonly templateWhere?: string;
}

/** Text of every kind that the pipeline's stages treat differently, to find a broken stage when loading. */
const probe = " Aa1 'll\n\t你好，é😀\uFFFD<|im_end|>";

/** A tokenizer from the contents of its files; CheckpointError when they make none. */
export function createTokenizer(parts: TokenizerParts): Tokenizer {
  const where = parts.where ?? 'tokenizer.json';
  const json = parseTokenizerJson(parts.json, where);
  const template =
    typeof parts.chatTemplate !== 'string' ? null : new ChatTemplate(parts.chatTemplate, parts.namedTokens ?? {}, parts.templateWhere ?? where);
  try {
    const tokenizer = new BpeTokenizer(json, template, where);
    tokenizer.decode(tokenizer.encode(probe, { allowSpecial: true }));
    return tokenizer;
  } catch (cause) {
    if (EdgeDeskError.isInstance(cause)) throw cause;
    const reason = cause instanceof Error ? cause.message.replace(/\s+/g, ' ').slice(0, 200) : String(cause);
    throw new CheckpointError(`the tokenizer cannot be used (${reason})`, {
      where,
      fix: 'use the tokenizer.json that came with the model',
      cause,
    });
  }
}

class BpeTokenizer implements Tokenizer {
  readonly vocabSize: number;
  private readonly lexicon: Lexicon;
  private readonly pipeline: TextEncoderPipeline;
  private readonly chat: ChatEncoder | null;
  /** Added tokens, by id and by what they are written as. */
  private readonly contents: ReadonlyMap<number, string>;
  private readonly addedIds: ReadonlyMap<string, number>;
  private readonly specialIds: ReadonlySet<number>;

  constructor(
    json: TokenizerJson,
    private readonly template: ChatTemplate | null,
    private readonly where: string,
  ) {
    const added = json.added_tokens;
    this.lexicon = createLexicon(json);
    this.pipeline = new TextEncoderPipeline(added, this.lexicon);
    this.chat = template === null ? null : new ChatEncoder(added, template, this.pipeline);
    this.contents = new Map(added.map(({ id, content }) => [id, content]));
    this.addedIds = new Map(added.map(({ id, content }) => [content, id]));
    this.specialIds = new Set(added.filter(({ special }) => special).map(({ id }) => id));
    this.vocabSize = added.reduce((size, { id }) => Math.max(size, id + 1), this.lexicon.size);
  }

  encode(text: string, options: { allowSpecial?: boolean } = {}): number[] {
    return this.pipeline.encode(text, options.allowSpecial ?? false);
  }

  decode(ids: readonly number[], options: { skipSpecial?: boolean } = {}): string {
    const skipSpecial = options.skipSpecial ?? false;
    const { decoding } = this.lexicon;
    if (decoding.kind === 'bytes') {
      const decoder = this.streamDecoder({ skipSpecial });
      return decoder.push(ids) + decoder.end();
    }
    for (const id of ids) checkId(id);
    const kept = ids.filter(
      (id) => (decoding.has(id) || this.contents.has(id)) && !(skipSpecial && this.specialIds.has(id)),
    );
    return kept.length === 0 ? '' : decoding.of(kept);
  }

  idOf(token: string): number | null {
    return this.addedIds.get(token) ?? this.lexicon.idOf(token) ?? null;
  }

  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    return (this.template ?? this.noTemplate()).render(messages, options.addGenerationPrompt ?? false);
  }

  encodeChat(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): EncodedChat {
    return (this.chat ?? this.noTemplate()).encode(messages, options.addGenerationPrompt ?? false);
  }

  streamDecoder(options: { skipSpecial?: boolean } = {}): StreamDecoder {
    const skipSpecial = options.skipSpecial ?? false;
    const { decoding } = this.lexicon;
    if (decoding.kind === 'text') return new WindowStreamDecoder((ids) => this.decode(ids, { skipSpecial }));
    return new ByteStreamDecoder((id) => {
      checkId(id);
      if (skipSpecial && this.specialIds.has(id)) return '';
      return this.contents.get(id) ?? decoding.of(id) ?? '';
    });
  }

  private noTemplate(): never {
    throw new CheckpointError('the model has no chat template', {
      where: this.where,
      fix: 'add chat_template.jinja to its folder or use plain text',
    });
  }
}

function checkId(id: number): void {
  if (!Number.isInteger(id) || id < 0) throw new RangeError(`${id} is not a token id`);
}
