import { halfTable } from './half-table.js';
import type { Dequantize } from './tensor-types.js';

/**
 * ggml's K formats: super-blocks of 256 weights whose groups of 32 (16 in Q6_K) have integer scales, themselves scaled by
 * d, and dmin for the minima, both binary16. Symbols are ggml's (`dequantize_row_q4_K` and on): sc and m the scale and
 * minimum of a group, ql and qh the low and high bits of the weights.
 *
 * Every product is exact in double precision and each value is rounded once, when stored, as in f32 arithmetic, where
 * only the last operation rounds.
 */
const superBlock = 256;

/** d, dmin, 12 bytes of scales and minima, qs: d sc q - dmin m. */
export const dequantizeQ4K: Dequantize = (blocks, out) => {
  const half = halfTable();
  for (let y = 0, x = 0; y < out.length; y += superBlock, x += 144) {
    const d = half[blocks[x]! | (blocks[x + 1]! << 8)]!;
    const dmin = half[blocks[x + 2]! | (blocks[x + 3]! << 8)]!;
    for (let group = 0; group < 8; group++) {
      const scale = d * groupScale(blocks, x + 4, group);
      const minimum = dmin * groupMinimum(blocks, x + 4, group);
      // Two groups share 32 bytes: the first in the low halves, the second in the high ones.
      const qs = x + 16 + 32 * (group >> 1);
      const shift = 4 * (group & 1);
      const at = y + 32 * group;
      for (let l = 0; l < 32; l++) out[at + l] = scale * ((blocks[qs + l]! >> shift) & 15) - minimum;
    }
  }
};

/** d, dmin, 12 bytes of scales and minima, qh, qs: d sc q - dmin m. Bit `group` of qh[l] is the fifth of weight l. */
export const dequantizeQ5K: Dequantize = (blocks, out) => {
  const half = halfTable();
  for (let y = 0, x = 0; y < out.length; y += superBlock, x += 176) {
    const d = half[blocks[x]! | (blocks[x + 1]! << 8)]!;
    const dmin = half[blocks[x + 2]! | (blocks[x + 3]! << 8)]!;
    const qh = x + 16;
    for (let group = 0; group < 8; group++) {
      const scale = d * groupScale(blocks, x + 4, group);
      const minimum = dmin * groupMinimum(blocks, x + 4, group);
      const qs = x + 48 + 32 * (group >> 1);
      const shift = 4 * (group & 1);
      const at = y + 32 * group;
      for (let l = 0; l < 32; l++) {
        const high = ((blocks[qh + l]! >> group) & 1) << 4;
        out[at + l] = scale * (((blocks[qs + l]! >> shift) & 15) | high) - minimum;
      }
    }
  }
};

/** ql, qh, signed scales of 16 groups, d: d sc (q - 32). */
export const dequantizeQ6K: Dequantize = (blocks, out) => {
  const half = halfTable();
  for (let y = 0, x = 0; y < out.length; y += superBlock, x += 210) {
    const scales = x + 192;
    const d = half[blocks[x + 208]! | (blocks[x + 209]! << 8)]!;
    // Runs of 32 weights, four to each half of the super-block: run 0 and 2 share bytes of ql, as do 1 and 3.
    for (let run = 0; run < 8; run++) {
      const inHalf = run & 3;
      const ql = x + 64 * (run >> 2) + 32 * (inHalf & 1);
      const qh = x + 128 + 32 * (run >> 2);
      const lowShift = 4 * (inHalf >> 1);
      const highShift = 2 * inHalf;
      const at = y + 32 * run;
      for (let l = 0; l < 32; l++) {
        const sc = (blocks[scales + 2 * run + (l >> 4)]! << 24) >> 24;
        const q = ((blocks[ql + l]! >> lowShift) & 15) | (((blocks[qh + l]! >> highShift) & 3) << 4);
        out[at + l] = d * sc * (q - 32);
      }
    }
  }
};

/** Eight scales and eight minima of 6 bits in 12 bytes: four whole ones each, then the low bits of the others. */
function groupScale(blocks: Uint8Array, at: number, group: number): number {
  if (group < 4) return blocks[at + group]! & 63;
  return (blocks[at + group + 4]! & 15) | ((blocks[at + group - 4]! >> 6) << 4);
}

function groupMinimum(blocks: Uint8Array, at: number, group: number): number {
  if (group < 4) return blocks[at + group + 4]! & 63;
  return (blocks[at + group + 4]! >> 4) | ((blocks[at + group]! >> 6) << 4);
}
