/**
 * Best-fit decreasing (Ding et al. 2024, "Fewer truncations improve language modeling"): the longest item first, each
 * into the fullest row that still has room. `lengths`: sizes of the items, each at most `capacity`. Returns the item
 * indices of every row.
 */
export function packBestFit(lengths: readonly number[], capacity: number): number[][] {
  const order = lengths.map((_, index) => index).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const rows: number[][] = [];
  // rowsByRoom[r]: rows with r free positions. Scanning upwards from an item's length finds the best fit.
  const rowsByRoom: number[][] = Array.from({ length: capacity + 1 }, () => []);
  for (const item of order) {
    const length = lengths[item]!;
    let room = length;
    while (room < capacity && rowsByRoom[room]!.length === 0) room++;
    let row = rowsByRoom[room]!.pop();
    if (row === undefined) {
      row = rows.length;
      rows.push([]);
      room = capacity;
    }
    rows[row]!.push(item);
    rowsByRoom[room - length]!.push(row);
  }
  return rows;
}
