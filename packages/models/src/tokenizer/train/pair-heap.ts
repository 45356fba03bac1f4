/** Counts and places of the adjacent symbol pairs, with the most frequent one on top. */
export interface PairEntry {
  readonly left: number;
  readonly right: number;
  /** Occurrences, weighted by how often their word occurs. */
  count: number;
  /** Words that hold the pair, or held it once. */
  readonly words: number[];
}

interface HeapItem {
  readonly count: number;
  readonly pair: PairEntry;
}

/** More frequent first; ties go to the smaller left, then the smaller right symbol, so that training is repeatable. */
function before(a: HeapItem, b: HeapItem): boolean {
  if (a.count !== b.count) return a.count > b.count;
  if (a.pair.left !== b.pair.left) return a.pair.left < b.pair.left;
  return a.pair.right < b.pair.right;
}

/** Binary heap of pairs. An item keeps the count it was pushed with; `pop` refreshes stale ones. */
export class PairHeap {
  private readonly items: HeapItem[] = [];

  push(pair: PairEntry): void {
    const item = { count: pair.count, pair };
    const { items } = this;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(item, items[parent]!)) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  /** The most frequent pair with at least `minCount` occurrences, removed; null when there is none. */
  pop(minCount: number): PairEntry | null {
    for (;;) {
      const top = this.takeTop();
      if (top === null) return null;
      const { pair } = top;
      if (pair.count === top.count) return pair.count >= minCount ? pair : null;
      // Counts only fall after a pair's first appearance, so a refreshed item can never be overtaken unseen.
      if (pair.count >= minCount) this.push(pair);
    }
  }

  private takeTop(): HeapItem | null {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (top === undefined || last === undefined) return null;
    if (items.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && before(items[child + 1]!, items[child]!)) child++;
      if (!before(items[child]!, last)) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = last;
    return top;
  }
}
