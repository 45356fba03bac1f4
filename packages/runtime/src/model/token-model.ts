import type { DecoderConfig } from '@edgedesk/models';
import type { Sampling } from '../sampling/sampling.js';

/** How the next tokens are picked. */
export interface Decoding {
  readonly sampling: Sampling;
  /** Tokens that end the reply. */
  readonly endIds: readonly number[];
  /** One number of `uniformStream` for each token at most wanted. */
  readonly uniforms: Float32Array;
  /**
   * A guess at the tokens to come, shorter than `uniforms`. It is verified in one pass: as much of it as agrees with
   * what would be picked comes back, and one token behind. Empty to generate token by token.
   */
  readonly draft: readonly number[];
}

export interface Scores {
  /** `[targets]` */
  readonly logProbs: Float32Array;
  readonly top1: Int32Array;
  /** `[targets, vocab]` log-softmax, empty unless asked for. */
  readonly fullRows: Float32Array;
}

/**
 * Tokens in, tokens out: a loaded decoder with its keys and values, in this thread or another. One call at a time, over
 * all sequences together.
 */
export interface TokenModel {
  readonly config: DecoderConfig;
  /** Opens a sequence that starts with `tokens`, with room for `reserve`. At least the last token stays to be read. */
  begin(tokens: readonly number[], reserve: number): Promise<Sequence>;
  /**
   * Opens the one sequence for scoring. It shares up to `limit` leading tokens with the last one that was scored, and
   * with no other.
   */
  beginScoring(tokens: readonly number[], limit: number): Promise<Sequence>;
  /** Frees everything; sequences are gone. */
  release(): Promise<void>;
}

/** Keys and values of one sequence. `end` it when done. */
export interface Sequence {
  /** Leading tokens that need not be read again. */
  readonly cachedTokens: number;
  /** Reads `ids`, predicting nothing. */
  read(ids: readonly number[]): Promise<void>;
  /**
   * Reads `ids` and picks from one to `uniforms.length` tokens, the last of which is not read yet. The same tokens come
   * in whatever number they are asked for, drafted or not. `ids` are the rest of the prompt, then the last token.
   */
  generate(ids: readonly number[], decoding: Decoding): Promise<number[]>;
  /** Reads `ids` and scores `targets` as the tokens behind the last `targets.length` of them. */
  score(ids: readonly number[], targets: readonly number[], withRows: boolean): Promise<Scores>;
  /** Hands the rows back for reuse. */
  end(): Promise<void>;
}
