/** Rank of a pair that does not merge: above every real one. */
export const noRank = 0x7fffffff;

/** The merges of a BPE model by pair of ids: a rank is one probe of a flat hash table. */
export class MergeTable {
  /** Open addressing: slot -> left, right, rank, merged id; left is -1 in free slots. */
  private readonly entries: Int32Array;
  private readonly mask: number;

  /** @param capacity merges at most */
  constructor(capacity: number) {
    let slots = 16;
    while (slots < 2 * capacity) slots *= 2;
    this.entries = new Int32Array(4 * slots).fill(-1);
    this.mask = slots - 1;
  }

  /** A pair that is listed again takes the later rank. */
  set(left: number, right: number, rank: number, merged: number): void {
    const slot = this.slot(left, right);
    this.entries[slot] = left;
    this.entries[slot + 1] = right;
    this.entries[slot + 2] = rank;
    this.entries[slot + 3] = merged;
  }

  rank(left: number, right: number): number {
    const slot = this.slot(left, right);
    return this.entries[slot] === -1 ? noRank : this.entries[slot + 2]!;
  }

  /** The id of both together; the pair must have a rank. */
  merged(left: number, right: number): number {
    return this.entries[this.slot(left, right) + 3]!;
  }

  /** Where the pair is in the table, or the free slot where it would go. */
  private slot(left: number, right: number): number {
    const { entries, mask } = this;
    let at = Math.imul(Math.imul(left, 0x9e3779b1) ^ right, 0x85ebca6b);
    at = (at ^ (at >>> 15)) & mask;
    while (entries[4 * at] !== -1 && (entries[4 * at] !== left || entries[4 * at + 1] !== right)) {
      at = (at + 1) & mask;
    }
    return 4 * at;
  }
}
