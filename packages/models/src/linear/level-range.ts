import type { NBitFormat } from './linear.js';
import { middleLevel } from './linear.js';

/** The levels that weights of a format may take. */
export interface LevelRange {
  readonly lowest: number;
  readonly highest: number;
  /** The level of zero where groups have none of their own. */
  readonly middle: number;
}

/** All of a container's levels or, with fewer bits of information, the middle ones; with zero points the first ones. */
export function levelRange({ bits, levelBits, asymmetric }: NBitFormat): LevelRange {
  const count = 2 ** (levelBits ?? bits);
  if (asymmetric) return { lowest: 0, highest: count - 1, middle: count / 2 };
  const middle = middleLevel(bits);
  return { lowest: middle - count / 2, highest: middle + count / 2 - 1, middle };
}
