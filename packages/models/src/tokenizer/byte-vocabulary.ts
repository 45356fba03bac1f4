import { fromByteLevel } from './byte-level.js';

/**
 * A byte-level vocabulary in four flat arrays: as JavaScript strings in maps, 49,152 tokens take 20 MB of heap, here
 * 1 MB. Tokens are held as the bytes that they stand for.
 */
export class ByteVocabulary {
  /** One more than the largest id. */
  readonly size: number;
  /** Bytes of token `id` at `[starts[id], starts[id + 1])`; none for ids that have no byte-level token. */
  private readonly starts: Int32Array;
  private readonly bytes: Uint8Array<ArrayBuffer>;
  /** Open addressing: slot -> id + 1; 0 in free slots. */
  private readonly slots: Int32Array;
  /** Tokens written with characters outside the byte-level alphabet: never merged, found by name only. */
  private readonly others = new Map<string, number>();

  /** @param vocab ids within `tokenizerLimits`, none twice */
  constructor(vocab: Readonly<Record<string, number>>) {
    const tokens = Object.keys(vocab);
    this.size = tokens.reduce((most, token) => Math.max(most, vocab[token]! + 1), 0);
    this.starts = new Int32Array(this.size + 1);
    let slots = 16;
    while (slots < 2 * tokens.length) slots *= 2;
    this.slots = new Int32Array(slots);
    for (const token of tokens) this.starts[vocab[token]! + 1] = fromByteLevel(token)?.length ?? 0;
    for (let id = 0; id < this.size; id++) this.starts[id + 1]! += this.starts[id]!;
    this.bytes = new Uint8Array(this.starts[this.size]!);
    for (const token of tokens) {
      const id = vocab[token]!;
      const bytes = fromByteLevel(token);
      if (bytes === null) {
        this.others.set(token, id);
        continue;
      }
      this.bytes.set(bytes, this.starts[id]);
      this.slots[this.slotOf(bytes)] = id + 1;
    }
  }

  /** Id of a token as written in the file. */
  idOf(token: string): number | undefined {
    const bytes = fromByteLevel(token);
    return bytes === null ? this.others.get(token) : this.idOfBytes(bytes);
  }

  idOfBytes(bytes: Uint8Array): number | undefined {
    const found = this.slots[this.slotOf(bytes)]!;
    return found === 0 ? undefined : found - 1;
  }

  /** What the token stands for, not a copy; null for ids without a byte-level token. */
  bytesOf(id: number): Uint8Array<ArrayBuffer> | null {
    if (id >= this.size || this.starts[id] === this.starts[id + 1]) return null;
    return this.bytes.subarray(this.starts[id], this.starts[id + 1]);
  }

  /** Where the token is in the table, or the free slot where it would go. FNV-1a. */
  private slotOf(token: Uint8Array): number {
    let hash = 0x811c9dc5;
    for (let i = 0; i < token.length; i++) hash = Math.imul(hash ^ token[i]!, 0x01000193);
    const mask = this.slots.length - 1;
    let at = (hash ^ (hash >>> 15)) & mask;
    while (this.slots[at] !== 0 && !this.spells(this.slots[at]! - 1, token)) at = (at + 1) & mask;
    return at;
  }

  private spells(id: number, token: Uint8Array): boolean {
    const start = this.starts[id]!;
    if (this.starts[id + 1]! - start !== token.length) return false;
    for (let i = 0; i < token.length; i++) if (this.bytes[start + i] !== token[i]) return false;
    return true;
  }
}
