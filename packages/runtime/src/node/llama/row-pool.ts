import type { LlamaRows } from './llama-rows.js';

/** A finished sequence whose tokens from here on are lost is no loss: they are computed again in a moment. */
const cheapTail = 48;

/**
 * Rows of finished sequences, found again by their leading tokens. Rows cannot be copied, so a new sequence takes those of
 * an old one over when it saves more tokens than are lost of it, and leaves them alone otherwise. The least recently used
 * go first when all together, with those in use, exceed `maxBytes`.
 */
export class RowPool {
  /** Least recently used first; rows in use are not here. */
  private readonly idle: LlamaRows[] = [];
  private readonly lent = new Set<LlamaRows>();

  constructor(
    private readonly create: (tokens: number) => Promise<LlamaRows>,
    private readonly bytesFor: (tokens: number) => number,
    private readonly maxBytes: number,
  ) {}

  /** Rows for `reserve` tokens that hold at most `limit` of the first `tokens`. Give them back with `put`. */
  async take(tokens: readonly number[], limit: number, reserve: number): Promise<LlamaRows> {
    let best: LlamaRows | undefined;
    let shared = 0;
    for (const rows of this.idle) {
      const common = Math.min(rows.commonPrefix(tokens), limit);
      const lost = rows.tokens.length - common;
      const pays = lost <= cheapTail || common >= lost;
      if (rows.capacity >= reserve && pays && common > shared) [best, shared] = [rows, common];
    }
    best ??= await this.recycled(reserve);
    if (best) this.idle.splice(this.idle.indexOf(best), 1);
    const rows = best ?? (await this.create(reserve));
    this.lent.add(rows);
    await rows.truncate(shared);
    return rows;
  }

  /** Keeps the rows for later. */
  async put(rows: LlamaRows): Promise<void> {
    this.lent.delete(rows);
    this.idle.push(rows);
    await this.makeRoom(0);
  }

  async clear(): Promise<void> {
    const all = [...this.idle.splice(0), ...this.lent];
    this.lent.clear();
    for (const rows of all) await rows.dispose();
  }

  /** The least recently used rows, when there is no memory for new ones and they are long enough. */
  private async recycled(reserve: number): Promise<LlamaRows | undefined> {
    const needed = this.bytesFor(reserve);
    if (this.sizeBytes + needed <= this.maxBytes) return undefined;
    const oldest = this.idle.find(({ capacity }) => capacity >= reserve);
    if (oldest === undefined) await this.makeRoom(needed);
    return oldest;
  }

  private async makeRoom(bytes: number): Promise<void> {
    while (this.idle.length > 0 && this.sizeBytes + bytes > this.maxBytes) await this.idle.shift()!.dispose();
  }

  private get sizeBytes(): number {
    return [...this.idle, ...this.lent].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }
}
