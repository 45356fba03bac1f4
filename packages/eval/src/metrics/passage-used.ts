import { chrF } from './chrf.js';

/**
 * Index of the passage whose words a reply uses most: the one with the highest chrF that weighs precision (what share of
 * the reply stands in the passage), so that longer passages have no advantage. -1 when it uses none of them.
 */
export function passageUsed(reply: string, passages: readonly string[]): number {
  const overlaps = passages.map((text) => chrF(reply, text, { order: 4, beta: 0.2 }));
  const most = Math.max(0, ...overlaps);
  return most === 0 ? -1 : overlaps.indexOf(most);
}
