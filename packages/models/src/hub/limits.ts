/** Bounds on what a hub may make us hold, write or wait for. A hub is untrusted like every file. */
export const hubLimits = {
  /** The listing of a repository of 100,000 files. */
  maxListingBytes: 2 ** 24,
  /** One model: the largest have some 200 shards. */
  maxFiles: 1024,
  /** Hugging Face's own bound on one file. */
  maxFileBytes: 500e9,
  /** Hub, storage bridge and content network are three hops. */
  maxRedirects: 5,
  /** A server that asks for a longer pause is told to the user instead. */
  maxRetryAfterMs: 300_000,
  /** Files under way together: more only queue on the same line. */
  concurrency: 4,
} as const;

/** How patient we are with the network. */
export interface HubTiming {
  /** Longest wait for the head of an answer. @default 30 s */
  readonly answerMs: number;
  /** Longest wait for the next bytes of a body. @default 30 s */
  readonly stallMs: number;
  /** Pause before the first retry; it doubles up to `maxPauseMs`. @default 0.5 s */
  readonly pauseMs: number;
  /** @default 20 s */
  readonly maxPauseMs: number;
  /** Attempts that bring no more than `progressBytes` before giving up. @default 6 */
  readonly attempts: number;
  /** An attempt that brought more counts as good: a long download survives any number of cuts. @default 1 MiB */
  readonly progressBytes: number;
}

export const hubTiming: HubTiming = {
  answerMs: 30_000,
  stallMs: 30_000,
  pauseMs: 500,
  maxPauseMs: 20_000,
  attempts: 6,
  progressBytes: 2 ** 20,
};
