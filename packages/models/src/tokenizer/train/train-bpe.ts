import { RecipeError } from '@edgedesk/tensor';
import { byteToChar } from '../byte-level.js';
import { splitPattern } from '../split-pattern.js';
import { addedToken, type TokenizerJson } from '../tokenizer-json.js';
import { countPieces, type TextSource } from './count-pieces.js';
import { learnMerges, type WordTable } from './merge-words.js';

export interface TrainBpeOptions {
  /** Size with special tokens and the 256 bytes; fewer come out when the texts do not hold enough pairs. */
  readonly vocabSize: number;
  /** Get the ids from 0 on, in order. */
  readonly specialTokens: readonly string[];
  /** A pair that occurs less often is not merged. @default 2 */
  readonly minFrequency?: number;
}

/** `count`: texts and characters read so far. `merge`: merges learned of those asked for. */
export type TrainBpeProgress =
  | { readonly phase: 'count'; readonly texts: number; readonly characters: number }
  | { readonly phase: 'merge'; readonly done: number; readonly total: number };

/** More would not fit the trainer's pair keys nor any edge device. */
const maxVocabSize = 2 ** 20;

/**
 * Learns a byte-level BPE vocabulary from `texts`, by default for Chinese and English, and returns it as a standard
 * `tokenizer.json`. Deterministic: the same texts in any order of equal counts give the same file, and the merges are
 * those of the `tokenizers` library's trainer on the same pieces.
 */
export async function trainByteLevelBpe(
  texts: TextSource,
  options: TrainBpeOptions,
  onProgress: (progress: TrainBpeProgress) => void = () => undefined,
): Promise<TokenizerJson> {
  const { vocabSize, specialTokens, minFrequency = 2 } = options;
  const firstId = specialTokens.length + 256;
  if (!Number.isInteger(vocabSize) || vocabSize < firstId || vocabSize > maxVocabSize) {
    throw new RecipeError(`the vocabulary size ${vocabSize} is not between ${firstId} and ${maxVocabSize}`, {
      where: 'vocabSize',
      fix: 'count the special tokens and 256 bytes in',
    });
  }
  if (new Set(specialTokens).size !== specialTokens.length || specialTokens.some((t) => t.length < 2)) {
    throw new RecipeError('special tokens must differ and have two characters or more', {
      where: 'specialTokens',
    });
  }
  const counts = await countPieces(texts, (textCount, characters) =>
    onProgress({ phase: 'count', texts: textCount, characters }),
  );
  // The library sorts its alphabet by character; ids follow, so that ties break alike.
  const alphabet = [...byteToChar].sort();
  const tokens = [...specialTokens, ...alphabet];
  const merges = learnMerges(wordTable(counts, alphabet, specialTokens.length), {
    tokens,
    specialCount: specialTokens.length,
    vocabSize,
    minFrequency,
    onMerge: (done, total) => onProgress({ phase: 'merge', done, total }),
  });
  return byteLevelTokenizerJson(
    tokens,
    merges.map(([left, right]) => [tokens[left]!, tokens[right]!]),
    specialTokens,
  );
}

function wordTable(
  counts: ReadonlyMap<string, number>,
  alphabet: readonly string[],
  firstByteId: number,
): WordTable {
  const idOfChar = new Map(alphabet.map((char, i) => [char, firstByteId + i]));
  const encoder = new TextEncoder();
  const idOfByte = byteToChar.map((char) => idOfChar.get(char)!);
  let symbolCount = 0;
  for (const piece of counts.keys()) symbolCount += encoder.encode(piece).length;
  const symbols = new Int32Array(symbolCount);
  const start = new Int32Array(counts.size);
  const length = new Int32Array(counts.size);
  const count = new Float64Array(counts.size);
  let at = 0;
  let word = 0;
  for (const [piece, pieceCount] of counts) {
    start[word] = at;
    for (const byte of encoder.encode(piece)) symbols[at++] = idOfByte[byte]!;
    length[word] = at - start[word]!;
    count[word++] = pieceCount;
  }
  return { symbols, start, length, count };
}

/** A `tokenizer.json` of a byte-level BPE with our `splitPattern`. `tokens[id]` is the vocabulary. */
function byteLevelTokenizerJson(
  tokens: readonly string[],
  merges: readonly [string, string][],
  specialTokens: readonly string[],
): TokenizerJson {
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => addedToken(id, content, true)),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: splitPattern }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: false },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges,
    },
  };
}
