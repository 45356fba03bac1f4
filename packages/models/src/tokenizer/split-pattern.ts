/** Han ideographs with their iteration mark and zero, kana and Hangul syllables: text written without spaces. */
const cjk = '々〇ぁ-ゖァ-ヺー㐀-䶿一-鿿가-힣豈-﫿𠀀-𲎯';

/**
 * How text is cut before merging, for Chinese and English: contractions, words with one leading space, runs of CJK
 * characters, single digits (order numbers stay regular), punctuation and symbols with one leading space, line breaks,
 * spaces. Nothing merges across these classes. Every construct means the same to JavaScript and to Oniguruma, the
 * engine of the `tokenizers` library; character ranges are written out since script names differ between the two.
 */
export const splitPattern = [
  "['’](?:s|t|re|ve|m|ll|d)(?!\\p{L})",
  ` ?[^\\s\\p{Z}\\p{P}\\p{S}\\p{N}\\p{M}\\p{C}${cjk}]+`,
  `[${cjk}]+`,
  '\\p{N}',
  ' ?[^\\s\\p{L}\\p{N}]+',
  '\\s*[\\r\\n]+',
  '\\s+(?!\\S)',
  '\\s+',
].join('|');
