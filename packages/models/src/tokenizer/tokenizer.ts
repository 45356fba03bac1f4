/** One message of a conversation. Content is a customer's or a model's words: special tokens in it are plain text. */
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface ChatTemplateOptions {
  /** End with the words that open the assistant's reply. @default false */
  readonly addGenerationPrompt?: boolean;
}

export interface EncodedChat {
  readonly ids: number[];
  /** One byte a token: 1 where the assistant speaks, the token that ends its turn included. */
  readonly assistantMask: Uint8Array<ArrayBuffer>;
}

export interface Tokenizer {
  /** One more than the largest id; a model may have more rows for padding. */
  readonly vocabSize: number;
  /** Ids of `text`, nothing added. Special tokens in it are plain text unless `allowSpecial`. */
  encode(text: string, options?: { allowSpecial?: boolean }): number[];
  /** Text of `ids`: bytes that are no UTF-8 become U+FFFD, ids that no token has (padding rows) give nothing. */
  decode(ids: readonly number[], options?: { skipSpecial?: boolean }): string;
  /** Id of a token as written in the vocabulary, e.g. `<|im_end|>`. */
  idOf(token: string): number | null;
  /** The conversation as text. CheckpointError when the model has no chat template or it refuses the messages. */
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatTemplateOptions): string;
  /** Ids of the conversation: the template's special tokens are recognised, those in message contents are text. */
  encodeChat(messages: readonly ChatMessage[], options?: ChatTemplateOptions): EncodedChat;
  /** Turns ids into text as they arrive. */
  streamDecoder(options?: { skipSpecial?: boolean }): StreamDecoder;
}

/** Text from ids that arrive one by one: whole characters only, however their bytes are spread over tokens. */
export interface StreamDecoder {
  /** What became readable with these ids; often nothing, while a character is incomplete. */
  push(ids: readonly number[]): string;
  /** The rest: an incomplete character becomes U+FFFD. Afterwards the decoder is as new. */
  end(): string;
}
