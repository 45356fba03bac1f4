import { type MergeTable, noRank } from './merge-table.js';

/**
 * Merges `symbols` (overwritten) by a heap of pairs, in O(n log n) also for an adversarial run of letters: the lowest
 * rank first, of equal ones the leftmost, as scanning would.
 */
export function mergeLong(symbols: Int32Array, table: MergeTable): number[] {
  const { length } = symbols;
  // A symbol keeps the place of its first byte; -1 ends the list, and `right` of a symbol that was swallowed is -2.
  const left = Int32Array.from({ length }, (_, i) => i - 1);
  const right = Int32Array.from({ length }, (_, i) => (i + 1 < length ? i + 1 : -1));
  const heap = new NumberHeap();
  const rankAt = (i: number): number => (right[i]! < 0 ? noRank : table.rank(symbols[i]!, symbols[right[i]!]!));
  const push = (i: number): void => {
    const rank = i < 0 ? noRank : rankAt(i);
    // Ranks are below 2^21 and places below 2^31, so that the sum is exact.
    if (rank !== noRank) heap.push(rank * 2 ** 31 + i);
  };
  for (let i = 0; i < length; i++) push(i);
  for (let key = heap.pop(); key !== undefined; key = heap.pop()) {
    const at = key % 2 ** 31;
    // A pair whose symbols have changed since was pushed again.
    if (rankAt(at) !== (key - at) / 2 ** 31) continue;
    const swallowed = right[at]!;
    symbols[at] = table.merged(symbols[at]!, symbols[swallowed]!);
    right[at] = right[swallowed]!;
    right[swallowed] = -2;
    if (right[at]! >= 0) left[right[at]!] = at;
    push(at);
    push(left[at]!);
  }
  return Array.from(symbols.filter((_, i) => right[i] !== -2));
}

/** Smallest number first. */
class NumberHeap {
  private readonly items: number[] = [];

  push(item: number): void {
    const { items } = this;
    let at = items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (items[parent]! <= item) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  pop(): number | undefined {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (last === undefined || items.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && items[child + 1]! < items[child]!) child++;
      if (items[child]! >= last) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = last;
    return top;
  }
}
