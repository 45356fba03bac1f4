/**
 * How text is cut before merging: contractions, words (with one leading space or mark), single digits (order numbers stay
 * regular), punctuation and symbols with one leading space, line breaks, spaces. Chinese is words without spaces. This is
 * the pattern of Qwen2 with plain contractions: JavaScript, the `tokenizers` library and onnxruntime-genai, which knows
 * a few patterns only, all read it alike.
 */
export const splitPattern = [
  "'s|'t|'re|'ve|'m|'ll|'d",
  '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+',
  '\\p{N}',
  ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*',
  '\\s*[\\r\\n]+',
  '\\s+(?!\\S)',
  '\\s+',
].join('|');
