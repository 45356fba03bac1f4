import type { Tokenizer } from '@edgedesk/models';

/** A tokenizer as the loader uses it. */
export interface TextCodec {
  readonly tokenizer: Pick<Tokenizer, 'vocabSize' | 'encode' | 'encodeChat'>;
  /** Identifies tokenizer and chat template: the same text gives the same ids. Part of the cache key. */
  readonly fingerprint: string;
  /** Ends a plain document. */
  readonly separatorId: number;
}
