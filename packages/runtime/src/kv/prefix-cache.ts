import type { DecoderConfig } from '@edgedesk/models';
import { KvRows } from './kv-rows.js';

/**
 * A finished sequence is handed over as it is, its end cut off, when the new one leaves it at most this many tokens
 * before its end; computing that end again is cheap. Otherwise the shared rows are copied and both live on.
 */
const cheapTail = 48;

/**
 * Keys and values of finished sequences, found again by their leading tokens: the next turn of a conversation, another
 * conversation with the same system prompt, another session with the same passage. The least recently used go first
 * when all together, with those in use, exceed `maxBytes`.
 */
export class PrefixCache {
  /** Least recently used first. Sequences in use are not here. */
  private readonly idle: KvRows[] = [];
  /** A buffer whose rows were dropped, for the next sequence: garbage of this size waits long for the collector. */
  private spare: KvRows | null = null;
  /** Sequences in use, with the bytes that their prompts need at least. */
  private readonly lent = new Map<KvRows, number>();

  constructor(
    private readonly config: DecoderConfig,
    private readonly maxBytes: number,
  ) {}

  get sizeBytes(): number {
    return this.idle.reduce((sum, rows) => sum + rows.sizeBytes, 0);
  }

  /**
   * Rows of the longest known prefix of `tokens`, at most `limit` of them, for the caller alone to append to, with room
   * for `reserve` rows. Give them back with `put`.
   */
  take(tokens: readonly number[], limit: number, reserve: number): KvRows {
    const bytes = tokens.length * KvRows.rowBytes(this.config);
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
      this.lent.set(best, bytes);
      this.makeRoom(0);
      return best;
    }
    if (best) this.idle.push(...this.idle.splice(this.idle.indexOf(best), 1));
    this.makeRoom(bytes, best);
    const rows = this.spare ?? new KvRows(this.config);
    this.spare = null;
    if (best) rows.copyFrom(best, shared, reserve);
    else rows.reserve(reserve);
    this.lent.set(rows, bytes);
    return rows;
  }

  /** Keeps the rows for later, unless a kept sequence has them all. */
  put(rows: KvRows): void {
    this.lent.delete(rows);
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
    this.makeRoom(0);
  }

  /** Forgets the rows of a sequence in use. */
  private drop(rows: KvRows): void {
    rows.truncate(0);
    this.spare ??= rows;
  }

  /** Drops idle sequences, but not `keep`, until `bytes` more fit. */
  private makeRoom(bytes: number, keep?: KvRows): void {
    const used = () =>
      [...this.lent].reduce((sum, [rows, prompt]) => sum + Math.max(prompt, rows.sizeBytes), 0);
    while (this.sizeBytes + used() + bytes > this.maxBytes) {
      const at = this.idle.findIndex((rows) => rows !== keep);
      if (at < 0) return;
      this.drop(this.idle.splice(at, 1)[0]!);
    }
  }

  clear(): void {
    this.idle.length = 0;
    this.spare = null;
  }
}
