import { lossTokens, type Piece } from './pieces.js';
import { carriesLoss } from './token-source.js';

/** Pieces that share one row of `sequence` positions; each is a segment of its own. */
export type PackedRow = readonly Piece[];

/** What a training graph reads of a batch of packed rows. */
export interface Batch {
  /** `[batch * sequence]`; free positions hold 0. */
  readonly tokenIds: BigInt64Array<ArrayBuffer>;
  /** `[batch, sequence]`: 0, 1, ... along a row; the free positions at its end are a segment of their own. */
  readonly segmentIds: BigInt64Array<ArrayBuffer>;
  /** Flat positions whose next token carries loss, ascending. */
  readonly lossRows: readonly number[];
  /** The token to predict at each of them. */
  readonly targets: readonly number[];
  /** How much each of them counts, relative to the others. */
  readonly lossWeights: readonly number[];
}

/**
 * The first `tokens` tokens of every reply count `weight` times: they decide what it says, and what follows mostly from
 * them would outvote them.
 */
export interface Emphasis {
  readonly tokens: number;
  readonly weight: number;
}

/** Lays out rows; there may be fewer than `batch`, the rest stays free. */
export function layOut(
  rows: readonly PackedRow[],
  batch: number,
  sequence: number,
  emphasis: Emphasis = { tokens: 0, weight: 1 },
): Batch {
  const tokenIds = new BigInt64Array(batch * sequence);
  const segmentIds = new BigInt64Array(batch * sequence);
  const lossRows: number[] = [];
  const targets: number[] = [];
  const lossWeights: number[] = [];
  rows.forEach((row, r) => {
    let at = r * sequence;
    row.forEach(({ source, start, length }, segment) => {
      // Tokens with loss in a row; plain text and what goes on from an earlier piece begin no reply.
      let said = carriesLoss(source, start) ? Infinity : 0;
      for (let i = 0; i < length - 1; i++, at++) {
        tokenIds[at] = BigInt(source.tokens[start + i]!);
        segmentIds[at] = BigInt(segment);
        if (!carriesLoss(source, start + i + 1)) said = 0;
        else {
          said++;
          lossWeights.push(said <= emphasis.tokens ? emphasis.weight : 1);
          lossRows.push(at);
          targets.push(source.tokens[start + i + 1]!);
        }
      }
    });
    segmentIds.fill(BigInt(row.length), at, (r + 1) * sequence);
  });
  return { tokenIds, segmentIds, lossRows, targets, lossWeights };
}

/**
 * Deals rows into groups of `batch` so that each group carries about the same number of loss tokens: the gradient is the
 * sum over all groups of a step, so who sits with whom is free, and even groups waste least in their loss bucket.
 */
export function dealRows(rows: readonly PackedRow[], batch: number): PackedRow[][] {
  const groups = Array.from({ length: Math.ceil(rows.length / batch) }, () => ({
    rows: [] as PackedRow[],
    loss: 0,
  }));
  const weighed = rows.map((row, index) => ({
    row,
    index,
    loss: row.reduce((sum, piece) => sum + lossTokens(piece), 0),
  }));
  weighed.sort((a, b) => b.loss - a.loss || a.index - b.index);
  for (const { row, loss } of weighed) {
    const open = groups.filter((group) => group.rows.length < batch);
    const lightest = open.reduce((a, b) => (b.loss < a.loss ? b : a));
    lightest.rows.push(row);
    lightest.loss += loss;
  }
  return groups.map((group) => group.rows);
}
