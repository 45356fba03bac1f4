import type { ChatMessage } from '@edgedesk/models';

export type { ChatMessage };

/** How the next token is picked. `temperature: 0` (the default) is greedy. */
export interface SamplingOptions {
  /** @default 0 */
  readonly temperature?: number;
  /** Keep the k most likely tokens; 0 keeps all. @default 0 */
  readonly topK?: number;
  /** Keep the smallest set with this probability mass. @default 1 */
  readonly topP?: number;
  /** Drop tokens less likely than minP times the likeliest. @default 0 */
  readonly minP?: number;
  /** Divide positive (multiply negative) logits of tokens already in the context by this. @default 1 */
  readonly repetitionPenalty?: number;
  /** Same seed, same text. @default random */
  readonly seed?: number;
}

export interface GenerateOptions extends SamplingOptions {
  /** @default 256 */
  readonly maxNewTokens?: number;
  /** The reply ends before the first of these; they are not part of the text. */
  readonly stop?: readonly string[];
  /** Go on past tokens that end a reply, up to maxNewTokens: for measuring. @default false */
  readonly ignoreEnd?: boolean;
  /**
   * Guess tokens that stand in the prompt or in the reply already and verify several in one pass: `auto` does so as long
   * as it saves time. The text is the same either way, sampled text (same seed) too. @default 'auto'
   */
  readonly speculation?: 'auto' | 'off';
  readonly signal?: AbortSignal;
}

export type FinishReason = 'stop' | 'length' | 'cancelled';

/**
 * A piece of the reply. `text` holds whole characters only and may be empty; the last chunk carries `finish`. The token
 * that ended the reply is in neither `text` nor `tokenIds`, but `newTokens` counts it.
 */
export interface GenerateChunk {
  readonly text: string;
  readonly tokenIds: readonly number[];
  readonly finish?: GenerateFinish;
}

export interface GenerateFinish {
  readonly reason: FinishReason;
  readonly promptTokens: number;
  /** Prompt tokens whose keys and values came from the prefix cache. */
  readonly cachedTokens: number;
  readonly newTokens: number;
  /** Milliseconds from the call to the first token, and from the first to the last. */
  readonly timeToFirstTokenMs: number;
  readonly decodeMs: number;
  /** Tokens that were guessed, and those of them that came true; absent where an engine does not guess. */
  readonly draftedTokens?: number;
  readonly acceptedTokens?: number;
}

/** Log-probabilities (natural log) of given tokens, for evaluation. */
export interface ScoreResult {
  /** `[tokens.length - start]`: log p(token[i] | tokens before i) for i >= start. */
  readonly logProbs: Float32Array;
  /** `[tokens.length - start]`: the likeliest token at each of these positions. */
  readonly top1: Int32Array;
  /** Full log-softmax rows `[tokens.length - start, vocab]` when asked for. */
  readonly rows?: Float32Array;
}

export interface ScoreOptions {
  /** First scored position, >= 1. @default 1 */
  readonly start?: number;
  readonly withRows?: boolean;
  /**
   * At most this many leading keys and values are taken over from the previous call. What the two calls share is found
   * by comparing tokens, so this is only needed to compute more anew. @default all that are shared
   */
  readonly sharedPrefix?: number;
}

export interface ModelInfo {
  readonly name: string;
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly layerCount: number;
  readonly parameters: number;
  /** All weight bytes on disk, of every tensor. */
  readonly sizeBytes: number;
  /** Weight bytes * 8 / parameters. */
  readonly bitsPerWeight: number;
}

/**
 * A loaded model that generates text. Several conversations may call it at once: they take fair turns on the one
 * set of weights. Close it when done.
 */
export interface Engine {
  readonly info: ModelInfo;
  /** Token ids of `text`; special tokens in it are plain text unless `allowSpecial`. */
  encode(text: string, options?: { allowSpecial?: boolean }): number[];
  decode(ids: readonly number[], options?: { skipSpecial?: boolean }): string;
  /** Token ids of a conversation; with `addGenerationPrompt` (default: without), ready for the assistant's reply. */
  encodeChat(messages: readonly ChatMessage[], options?: { addGenerationPrompt?: boolean }): number[];
  /**
   * Streams a reply, several tokens a chunk. RecipeError for options out of range and for prompts that leave no room
   * for a reply; RuntimeFailure when too many conversations wait. Leaving the loop early frees everything.
   */
  generate(promptIds: readonly number[], options?: GenerateOptions): AsyncIterable<GenerateChunk>;
  chat(messages: readonly ChatMessage[], options?: GenerateOptions): AsyncIterable<GenerateChunk>;
  /** Log-probabilities of `tokens[start..]`, each given all tokens before it. */
  score(tokens: readonly number[], options?: ScoreOptions): Promise<ScoreResult>;
  close(): Promise<void>;
}
