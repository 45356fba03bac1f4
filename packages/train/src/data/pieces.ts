import { carriesLoss, type TokenSource } from './token-source.js';

/**
 * A stretch of a document that fits into a packed row: `length` tokens from `start`, which take `length - 1` positions
 * of a row, since the last token is only ever a target.
 */
export interface Piece {
  readonly source: TokenSource;
  readonly start: number;
  readonly length: number;
}

/**
 * Cuts the documents of a source into pieces of at most `positions` positions. Neighbouring pieces share one token, the
 * target of one and the first input of the next, so each token but a document's first is predicted exactly once. Pieces
 * without any loss are left out.
 */
export function piecesOf(source: TokenSource, positions: number): Piece[] {
  const pieces: Piece[] = [];
  for (let d = 0; d + 1 < source.offsets.length; d++) {
    const end = source.offsets[d + 1]!;
    for (let start = source.offsets[d]!; start < end - 1; start += positions) {
      const piece = { source, start, length: Math.min(positions + 1, end - start) };
      if (lossTokens(piece) > 0) pieces.push(piece);
    }
  }
  return pieces;
}

/** Tokens of the piece whose prediction carries loss. */
export function lossTokens({ source, start, length }: Piece): number {
  let count = 0;
  for (let token = start + 1; token < start + length; token++) {
    if (carriesLoss(source, token)) count++;
  }
  return count;
}
