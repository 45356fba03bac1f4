/** Limits on a GGUF file, which is untrusted. Every length is also checked against what is left of the file. */
export const ggufLimits = {
  /**
   * Metadata and tensor list: the largest public vocabularies (262,144 tokens and their merges) take 15 MB. In memory
   * short texts, the worst case, take four times their bytes in the file.
   */
  maxHeaderBytes: 64 * 2 ** 20,
  /** Files have 20 to 60 keys. */
  maxKeys: 4096,
  /** The format's own bound. */
  maxKeyLength: 2 ** 16 - 1,
  /** Chat templates are the longest texts and have up to 20,000 characters. */
  maxTextBytes: 2 ** 20,
  /** The longest arrays are merges: 515,000 for the largest vocabularies. */
  maxArrayLength: 2 ** 22,
  /** The format allows arrays of arrays; nobody writes them, and each level is a recursion here. */
  maxArrayDepth: 4,
  /** A decoder has about ten tensors a layer. */
  maxTensors: 2 ** 16,
  /** The format's own bounds. */
  maxTensorNameLength: 64,
  maxRank: 4,
  /** Writers use 32; more than a page of memory has no use. */
  maxAlignment: 2 ** 16,
} as const;
