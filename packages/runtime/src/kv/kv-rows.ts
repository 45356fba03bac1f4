import type { DecoderConfig } from '@edgedesk/models';
import type { Tensor } from '@edgedesk/tensor';
import { loopName } from '../graph/index.js';

/** Buffers grow by whole steps of this many rows, so that growing is rare and a freed buffer fits the next sequence. */
const growthRows = 128;

/**
 * Keys and values of one token sequence in all layers: row t of every layer is token t, `[kvHeads, headDim]` f32, in
 * one allocation. Rows are only ever appended or cut off at the end, so a prefix of a sequence is a prefix of its
 * buffers. Memory that was never written costs nothing on systems that hand out pages lazily.
 */
export class KvRows {
  /** The tokens whose rows are here. */
  readonly tokens: number[] = [];
  private readonly rowSize: number;
  private readonly stretchCount: number;
  private memory = new Float32Array(0);
  private capacity = 0;

  constructor(private readonly config: DecoderConfig) {
    this.rowSize = config.kvHeadCount * config.headDim;
    this.stretchCount = 2 * config.layerCount;
  }

  /** Bytes of one token's keys and values in all layers. */
  static rowBytes({ layerCount, kvHeadCount, headDim }: DecoderConfig): number {
    return 2 * layerCount * kvHeadCount * headDim * Float32Array.BYTES_PER_ELEMENT;
  }

  get length(): number {
    return this.tokens.length;
  }

  /** Bytes that the rows take. */
  get sizeBytes(): number {
    return this.length * KvRows.rowBytes(this.config);
  }

  /** Makes room for `rows` rows in all. */
  reserve(rows: number): void {
    // One row even when empty: ONNX Runtime divides by the number of rows.
    const wanted = Math.ceil(Math.max(rows, 1) / growthRows) * growthRows;
    if (wanted <= this.capacity) return;
    const before = this.stretches(this.length);
    this.capacity = wanted;
    this.memory = new Float32Array(this.stretchCount * wanted * this.rowSize);
    for (const [i, stretch] of before.entries()) this.memory.set(stretch, i * wanted * this.rowSize);
  }

  /**
   * Appends the rows of `tokens`. `added` is `[2 * layers * addedRows, kvHeads, headDim]`, layer by layer, keys first;
   * of each stretch only the rows of `tokens`, which come first, are taken.
   */
  append(tokens: readonly number[], added: Float32Array, addedRows = tokens.length): void {
    const size = tokens.length * this.rowSize;
    const step = addedRows * this.rowSize;
    if (addedRows < tokens.length || added.length !== step * this.stretchCount) {
      throw new Error(`${added.length} numbers are not the rows of ${tokens.length} tokens`);
    }
    const end = this.length + tokens.length;
    if (end > this.capacity) this.reserve(end);
    for (let i = 0; i < this.stretchCount; i++) {
      this.memory.set(
        added.subarray(i * step, i * step + size),
        (i * this.capacity + this.length) * this.rowSize,
      );
    }
    for (const token of tokens) this.tokens.push(token);
  }

  /** Forgets all rows from `length` on. */
  truncate(length: number): void {
    this.tokens.length = Math.min(this.length, length);
  }

  /** Takes over the first `length` rows of `other`; forgets its own. */
  copyFrom(other: KvRows, length: number, reserve: number): void {
    this.tokens.length = 0;
    this.reserve(Math.max(reserve, length));
    for (const [i, stretch] of other.stretches(length).entries()) {
      this.memory.set(stretch, i * this.capacity * this.rowSize);
    }
    for (let t = 0; t < length; t++) this.tokens.push(other.tokens[t]!);
  }

  /** Leading tokens shared with `tokens`. */
  commonPrefix(tokens: readonly number[]): number {
    const most = Math.min(this.length, tokens.length);
    let length = 0;
    while (length < most && this.tokens[length] === tokens[length]) length++;
    return length;
  }

  /**
   * The session's view of the rows: those before `border` are the past, the others recent. Valid until the next
   * `append`, `reserve` or `copyFrom`.
   */
  feeds(border = this.length): Record<string, Tensor> {
    this.reserve(1);
    const past = this.views(0, Math.max(border, 1));
    const recent = this.views(border, this.length);
    const feeds: Record<string, Tensor> = {};
    for (let layer = 0; layer < this.config.layerCount; layer++) {
      feeds[loopName.past(layer, 'key')] = past[2 * layer]!;
      feeds[loopName.past(layer, 'value')] = past[2 * layer + 1]!;
      feeds[loopName.recent(layer, 'key')] = recent[2 * layer]!;
      feeds[loopName.recent(layer, 'value')] = recent[2 * layer + 1]!;
    }
    return feeds;
  }

  /** Rows `from` to `to` of every layer's keys and values. */
  private views(from: number, to: number): Tensor[] {
    const shape = [to - from, this.config.kvHeadCount, this.config.headDim];
    return this.stretches(to, from).map((data) => ({ dtype: 'f32', shape, data }));
  }

  private stretches(to: number, from = 0): Float32Array[] {
    return Array.from({ length: this.stretchCount }, (_, i) => {
      const start = i * this.capacity;
      return this.memory.subarray((start + from) * this.rowSize, (start + to) * this.rowSize);
    });
  }
}
