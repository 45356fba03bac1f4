import { byteToChar } from './byte-level.js';
import type { ByteVocabulary } from './byte-vocabulary.js';
import { mergeLong } from './merge-long.js';
import { MergeTable, noRank } from './merge-table.js';
import type { BpeModelJson } from './tokenizer-json.js';

/**
 * Pieces remembered with their ids: words recur, so most text needs no merging. At 2^15 pieces of up to 32 characters
 * this stays under about 8 MB; the whole memory is dropped when full, which costs less than tracking use.
 */
const maxRemembered = 2 ** 15;
const maxRememberedLength = 32;

/** Up to this length scanning for the best pair beats keeping a heap of them. */
const maxScanBytes = 192;

/**
 * Merges the pieces of a byte-level BPE, with the same ids as the library's model and many times its speed: symbols are
 * integers and a merge rank is one probe of a flat hash table.
 */
export class ByteLevelBpe {
  /** -1 for bytes that the vocabulary lacks: they merge with nothing. */
  private readonly idOfByte = new Int32Array(256);
  /** What stands for a missing byte, if anything does. */
  private readonly unknown: readonly number[];
  private readonly memory = new Map<string, readonly number[]>();
  private readonly ignoreMerges: boolean;
  private readonly table: MergeTable;
  private readonly utf8 = new TextEncoder();
  private readonly symbols = new Int32Array(maxScanBytes);
  private readonly ranks = new Int32Array(maxScanBytes);

  /** @param model without byte fallback and fused unknown tokens; `vocabulary` is its own */
  constructor(
    model: BpeModelJson,
    private readonly vocabulary: ByteVocabulary,
  ) {
    const { vocab, merges } = model;
    this.ignoreMerges = model.ignore_merges ?? false;
    byteToChar.forEach((char, byte) => (this.idOfByte[byte] = vocabulary.idOf(char) ?? -1));
    const unknown = vocabulary.idOf(model.unk_token ?? '');
    this.unknown = unknown === undefined ? [] : [unknown];
    this.table = new MergeTable(merges.length);
    merges.forEach((merge, rank) => {
      const [left, right] = typeof merge === 'string' ? merge.split(' ') : merge;
      this.table.set(vocab[left!]!, vocab[right!]!, rank, vocab[left! + right!]!);
    });
  }

  /** Appends the ids of one piece of text. */
  encodePiece(piece: string, out: number[]): void {
    const memorable = piece.length <= maxRememberedLength;
    if (memorable) {
      const known = this.memory.get(piece);
      if (known !== undefined) {
        for (let i = 0; i < known.length; i++) out.push(known[i]!);
        return;
      }
    }
    const merged = this.merge(piece);
    const ids = merged.includes(-1) ? merged.flatMap((id) => (id === -1 ? this.unknown : [id])) : merged;
    for (const id of ids) out.push(id);
    if (!memorable) return;
    if (this.memory.size >= maxRemembered) this.memory.clear();
    this.memory.set(piece, ids);
  }

  private merge(piece: string): readonly number[] {
    const bytes = this.utf8.encode(piece);
    if (this.ignoreMerges) {
      const whole = this.vocabulary.idOfBytes(bytes);
      if (whole !== undefined) return [whole];
    }
    if (bytes.length > maxScanBytes) {
      return mergeLong(
        Int32Array.from(bytes, (byte) => this.idOfByte[byte]!),
        this.table,
      );
    }
    const { symbols, ranks, table } = this;
    let length = bytes.length;
    for (let i = 0; i < length; i++) symbols[i] = this.idOfByte[bytes[i]!]!;
    for (let i = 0; i + 1 < length; i++) ranks[i] = table.rank(symbols[i]!, symbols[i + 1]!);
    while (length > 1) {
      let best = 0;
      for (let i = 1; i < length - 1; i++) if (ranks[i]! < ranks[best]!) best = i;
      if (ranks[best] === noRank) break;
      symbols[best] = table.merged(symbols[best]!, symbols[best + 1]!);
      symbols.copyWithin(best + 1, best + 2, length);
      ranks.copyWithin(best + 1, best + 2, length - 1);
      length--;
      if (best + 1 < length) ranks[best] = table.rank(symbols[best]!, symbols[best + 1]!);
      if (best > 0) ranks[best - 1] = table.rank(symbols[best - 1]!, symbols[best]!);
    }
    return Array.from(symbols.subarray(0, length));
  }
}
