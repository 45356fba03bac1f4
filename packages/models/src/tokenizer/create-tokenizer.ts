import { CheckpointError, EdgeDeskError } from '@edgedesk/tensor';
import { isByteLevel, tokenBytes } from './byte-level-bpe.js';
import { ChatEncoder } from './chat-encoder.js';
import { ChatTemplate, type NamedTokens } from './chat-template.js';
import { LibraryTokenizer } from './library.js';
import { ByteStreamDecoder, type TokenPiece, WindowStreamDecoder } from './stream-decoder.js';
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
}

/** Text of every kind that the pipeline's stages treat differently, to find a broken stage when loading. */
const probe = " Aa1 'll\n\t你好，é😀\uFFFD<|im_end|>";

/** A tokenizer from the contents of its files; CheckpointError when they make none. */
export function createTokenizer(parts: TokenizerParts): Tokenizer {
  const where = parts.where ?? 'tokenizer.json';
  const json = parseTokenizerJson(parts.json, where);
  const template =
    typeof parts.chatTemplate !== 'string' ? null : new ChatTemplate(parts.chatTemplate, parts.namedTokens ?? {}, where);
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
  private readonly library: LibraryTokenizer;
  private readonly pipeline: TextEncoderPipeline;
  private readonly chat: ChatEncoder | null;
  private readonly ids: ReadonlyMap<string, number>;
  private readonly known: ReadonlySet<number>;
  private readonly specialIds: ReadonlySet<number>;
  /** By id; null where the model is not byte-level. */
  private readonly pieces: readonly (TokenPiece | null)[] | null;

  constructor(
    json: TokenizerJson,
    private readonly template: ChatTemplate | null,
    private readonly where: string,
  ) {
    this.library = new LibraryTokenizer(json, {});
    this.pipeline = new TextEncoderPipeline(json, this.library);
    this.chat = template === null ? null : new ChatEncoder(json.added_tokens, template, this.pipeline);
    const added = json.added_tokens;
    this.ids = new Map([
      ...Object.entries(json.model.vocab),
      ...added.map(({ content, id }) => [content, id] as const),
    ]);
    this.known = new Set(this.ids.values());
    this.specialIds = new Set(added.filter(({ special }) => special).map(({ id }) => id));
    this.vocabSize = [...this.ids.values()].reduce((max, id) => Math.max(max, id + 1), 0);
    if (isByteLevel(json.model) && json.decoder?.type === 'ByteLevel') {
      const pieces: (TokenPiece | null)[] = tokenBytes(json.model);
      while (pieces.length < this.vocabSize) pieces.push(null);
      for (const { id, content } of added) pieces[id] = content;
      this.pieces = pieces;
    } else this.pieces = null;
  }

  encode(text: string, options: { allowSpecial?: boolean } = {}): number[] {
    return this.pipeline.encode(text, options.allowSpecial ?? false);
  }

  decode(ids: readonly number[], options: { skipSpecial?: boolean } = {}): string {
    const skipSpecial = options.skipSpecial ?? false;
    if (this.pieces !== null) {
      const decoder = this.streamDecoder({ skipSpecial });
      return decoder.push(ids) + decoder.end();
    }
    for (const id of ids) checkId(id);
    const kept = ids.filter((id) => this.known.has(id) && !(skipSpecial && this.specialIds.has(id)));
    if (kept.length === 0) return '';
    return this.library.decode(kept, { clean_up_tokenization_spaces: false });
  }

  idOf(token: string): number | null {
    return this.ids.get(token) ?? null;
  }

  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    return (this.template ?? this.noTemplate()).render(messages, options.addGenerationPrompt ?? false);
  }

  encodeChat(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): EncodedChat {
    return (this.chat ?? this.noTemplate()).encode(messages, options.addGenerationPrompt ?? false);
  }

  streamDecoder(options: { skipSpecial?: boolean } = {}): StreamDecoder {
    const skipSpecial = options.skipSpecial ?? false;
    const { pieces } = this;
    if (pieces === null) return new WindowStreamDecoder((ids) => this.decode(ids, { skipSpecial }));
    return new ByteStreamDecoder((id) => {
      checkId(id);
      return skipSpecial && this.specialIds.has(id) ? '' : (pieces[id] ?? '');
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
