import type { DecoderConfig } from '@edgedesk/models';
import { KvRows } from './kv-rows.js';

/**
 * A finished sequence is handed over as it is, its end cut off, when the new one leaves it at most this many tokens
 * before its end; computing that end again is cheap. Otherwise the shared rows are copied and both live on.
 */
const cheapTail = 48;

/** Buffers kept for reuse after their rows were dropped: garbage of this size would wait long for the collector. */
const maxSpare = 2;

/**
 * Keys and values of finished sequences, found again by their leading tokens: the next turn of a conversation, another
 * conversation with the same system prompt, another session with the same passage. The least recently used go first
 * when all together exceed `maxBytes`.
 */
export class PrefixCache {
  /** Least recently used first. Sequences in use are not here. */
  private readonly idle: KvRows[] = [];
  private readonly spare: KvRows[] = [];

  constructor(
    private readonly config: DecoderConfig,
    private readonly maxBytes: number,
  ) {}

  get sizeBytes(): number {
    return this.idle.reduce((sum, rows) => sum + rows.sizeBytes, 0);
  }

  /**
   * Rows of the longest known prefix of `tokens`, at most `limit` of them, for the caller alone to append to, with room
   * for `reserve` rows. Give them back with `put` or `drop`.
   */
  take(tokens: readonly number[], limit: number, reserve: number): KvRows {
    let best: KvRows | undefined;
    let shared = 0;
    for (const rows of this.idle) {
      const common = Math.min(rows.commonPrefix(tokens), limit);
      if (common > shared) [best, shared] = [rows, common];
    }
    if (best && best.length - shared <= cheapTail) {
      this.idle.splice(this.idle.indexOf(best), 1);
      best.truncate(shared);
      best.reserve(reserve);
      return best;
    }
    const rows = this.spare.pop() ?? new KvRows(this.config);
    if (best) {
      rows.copyFrom(best, shared, reserve);
      this.idle.push(...this.idle.splice(this.idle.indexOf(best), 1));
    } else {
      rows.truncate(0);
      rows.reserve(reserve);
    }
    return rows;
  }

  /** Keeps the rows for later, unless a kept sequence has them all. */
  put(rows: KvRows): void {
    const covered = this.idle.some((other) => other.commonPrefix(rows.tokens) === rows.length);
    if (covered) {
      this.drop(rows);
      return;
    }
    for (const other of this.idle.filter((other) => rows.commonPrefix(other.tokens) === other.length)) {
      this.idle.splice(this.idle.indexOf(other), 1);
      this.drop(other);
    }
    this.idle.push(rows);
    let size = this.sizeBytes;
    while (size > this.maxBytes) {
      const oldest = this.idle.shift()!;
      size -= oldest.sizeBytes;
      this.drop(oldest);
    }
  }

  /** Forgets the rows. */
  drop(rows: KvRows): void {
    rows.truncate(0);
    if (this.spare.length < maxSpare) this.spare.push(rows);
  }

  clear(): void {
    this.idle.length = 0;
    this.spare.length = 0;
  }
}
