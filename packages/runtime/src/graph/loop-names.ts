/** Inputs and outputs of the looped graph, beside `samplerName`. */
export const loopName = {
  /** i64 [1, S]: tokens whose keys and values are not in the past yet. */
  ids: 'ids',
  /** i64 []: at most this many tokens come back. */
  maxTokens: 'max_tokens',
  /** i64 [E]: tokens that end the loop. */
  endIds: 'end_ids',
  /** i64 [R]: rows of the first iteration whose logits are wanted; [-1] to generate, all of them to verify a draft. */
  rows: 'rows',
  /** bool []: score `targets` at `rows` instead of picking a token. */
  scoring: 'scoring',
  /** bool []: scoring also returns full log-probabilities. */
  withRows: 'with_rows',
  /** i64 [R]: tokens to score; ignored otherwise. */
  targets: 'targets',
  /** bool [vocab]: tokens in the context, for the repetition penalty. */
  seen: 'seen',
  /** i64 [1]: how many rows of the past are real. */
  pastLength: 'past_length',
  /** f32 [W, kvHeads, headDim] for each layer, W >= 0: rows right behind the past, which stay a stretch of their own. */
  recent: (layer: number, kind: 'key' | 'value') => `recent.${layer}.${kind}`,
  /** f32 [T, kvHeads, headDim] for each layer, T >= 1 even when `past_length` is 0; rows past it are ignored but finite. */
  past: (layer: number, kind: 'key' | 'value') => `past.${layer}.${kind}`,

  /** i64 [n]: the new tokens, an end token included; one for each wanted row when a draft is verified. */
  tokens: 'tokens',
  /** f32 [2 * layers * rows, kvHeads, headDim]: the rows of the tokens read, layer by layer, keys before values. */
  added: 'added',
  logProbs: 'log_probs',
  top1: 'top1',
  fullRows: 'full_rows',
} as const;
