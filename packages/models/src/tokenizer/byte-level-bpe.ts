import { byteToChar, fromByteLevel, toByteLevel } from './byte-level.js';
import type { LibraryTokenizer } from './library.js';
import type { BpeModelJson } from './tokenizer-json.js';

/**
 * Pieces remembered with their ids: words recur, so most text needs no merging. At 2^17 pieces of up to 32 characters
 * this stays under about 30 MB; the whole memory is dropped when full, which costs less than tracking use.
 */
const maxRemembered = 2 ** 17;
const maxRememberedLength = 32;

/** Longer pieces go to the library, whose heap keeps an adversarial run of letters from taking quadratic time. */
const maxScanBytes = 192;

const noRank = 0x7fffffff;

/**
 * Merges the pieces of a byte-level BPE, with the same ids as the library's model and many times its speed: symbols are
 * integers and a merge rank is one probe of a flat hash table.
 */
export class ByteLevelBpe {
  private readonly idOfByte = new Int32Array(256);
  private readonly memory = new Map<string, readonly number[]>();
  private readonly ignoreMerges: boolean;
  private readonly ids: ReadonlyMap<string, number>;
  /** Open addressing: slot -> left, right, rank, merged id; left is -1 in free slots. */
  private readonly table: Int32Array;
  private readonly tableMask: number;
  private readonly utf8 = new TextEncoder();
  private readonly symbols = new Int32Array(maxScanBytes);
  private readonly ranks = new Int32Array(maxScanBytes);

  /** `model` must satisfy `isByteLevel`. */
  constructor(
    model: BpeModelJson,
    private readonly library: LibraryTokenizer,
  ) {
    this.ids = new Map(Object.entries(model.vocab));
    this.ignoreMerges = model.ignore_merges ?? false;
    byteToChar.forEach((char, byte) => (this.idOfByte[byte] = this.ids.get(char)!));
    let slots = 16;
    while (slots < 2 * model.merges.length) slots *= 2;
    this.table = new Int32Array(4 * slots).fill(-1);
    this.tableMask = slots - 1;
    model.merges.forEach((merge, rank) => {
      const [left, right] = typeof merge === 'string' ? merge.split(' ') : merge;
      this.insert(this.ids.get(left!)!, this.ids.get(right!)!, rank, this.ids.get(left! + right!)!);
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
    const ids = this.merge(piece);
    for (const id of ids) out.push(id);
    if (!memorable) return;
    if (this.memory.size >= maxRemembered) this.memory.clear();
    this.memory.set(piece, ids);
  }

  private merge(piece: string): readonly number[] {
    const bytes = this.utf8.encode(piece);
    if (this.ignoreMerges) {
      const whole = this.ids.get(toByteLevel(piece));
      if (whole !== undefined) return [whole];
    }
    if (bytes.length > maxScanBytes) {
      const { model } = this.library;
      return model([toByteLevel(piece)]).map((token) => model.tokens_to_ids.get(token)!);
    }
    const { symbols, ranks, table } = this;
    let length = bytes.length;
    for (let i = 0; i < length; i++) symbols[i] = this.idOfByte[bytes[i]!]!;
    for (let i = 0; i + 1 < length; i++) ranks[i] = this.rank(i);
    while (length > 1) {
      let best = 0;
      for (let i = 1; i < length - 1; i++) if (ranks[i]! < ranks[best]!) best = i;
      if (ranks[best] === noRank) break;
      symbols[best] = table[this.slot(symbols[best]!, symbols[best + 1]!) + 3]!;
      symbols.copyWithin(best + 1, best + 2, length);
      ranks.copyWithin(best + 1, best + 2, length - 1);
      length--;
      if (best + 1 < length) ranks[best] = this.rank(best);
      if (best > 0) ranks[best - 1] = this.rank(best - 1);
    }
    return Array.from(symbols.subarray(0, length));
  }

  /** Rank of the merge of the symbols at `i` and `i + 1`. */
  private rank(i: number): number {
    const slot = this.slot(this.symbols[i]!, this.symbols[i + 1]!);
    return this.table[slot] === -1 ? noRank : this.table[slot + 2]!;
  }

  /** Where the pair is in the table, or the free slot where it would go. */
  private slot(left: number, right: number): number {
    const { table, tableMask } = this;
    let at = Math.imul(Math.imul(left, 0x9e3779b1) ^ right, 0x85ebca6b);
    at = (at ^ (at >>> 15)) & tableMask;
    while (table[4 * at] !== -1 && (table[4 * at] !== left || table[4 * at + 1] !== right)) {
      at = (at + 1) & tableMask;
    }
    return 4 * at;
  }

  private insert(left: number, right: number, rank: number, merged: number): void {
    const slot = this.slot(left, right);
    this.table.set([left, right, rank, merged], slot);
  }
}

/** The vocabulary holds every byte, and nothing asks for unknown tokens or byte fallback. */
export function isByteLevel(model: BpeModelJson): boolean {
  if (model.byte_fallback || model.fuse_unk) return false;
  return byteToChar.every((char) => Object.hasOwn(model.vocab, char));
}

/** Bytes of every token; null for ids without a byte-level token. */
export function tokenBytes(model: BpeModelJson): (Uint8Array<ArrayBuffer> | null)[] {
  const bytes: (Uint8Array<ArrayBuffer> | null)[] = [];
  for (const [token, id] of Object.entries(model.vocab)) {
    while (bytes.length <= id) bytes.push(null);
    bytes[id] = fromByteLevel(token);
  }
  return bytes;
}
