import { halfTable } from './half-table.js';
import type { Dequantize } from './tensor-types.js';

/**
 * ggml's quantization formats with 32 weights a block (ggml-common.h, `block_q4_0` and on). Symbols are ggml's: d the
 * scale and m the minimum, both binary16; qs the low four bits of the weights, weight j beside weight j + 16; qh the
 * fifth bits, one a weight.
 *
 * A product of d and a weight's integer has at most 24 significant bits, so that it is exact and each value is rounded
 * once, when stored: bit for bit what f32 arithmetic gives.
 */
const blockElements = 32;

/** d, qs: d (q - 8). */
export const dequantizeQ40: Dequantize = (blocks, out) => {
  const half = halfTable();
  for (let y = 0, x = 0; y < out.length; y += blockElements, x += 18) {
    const d = half[blocks[x]! | (blocks[x + 1]! << 8)]!;
    for (let j = 0; j < 16; j++) {
      const q = blocks[x + 2 + j]!;
      out[y + j] = d * ((q & 15) - 8);
      out[y + j + 16] = d * ((q >> 4) - 8);
    }
  }
};

/** d, m, qs: d q + m. */
export const dequantizeQ41: Dequantize = (blocks, out) => {
  const half = halfTable();
  for (let y = 0, x = 0; y < out.length; y += blockElements, x += 20) {
    const d = half[blocks[x]! | (blocks[x + 1]! << 8)]!;
    const m = half[blocks[x + 2]! | (blocks[x + 3]! << 8)]!;
    for (let j = 0; j < 16; j++) {
      const q = blocks[x + 4 + j]!;
      out[y + j] = d * (q & 15) + m;
      out[y + j + 16] = d * (q >> 4) + m;
    }
  }
};

/** d, qh, qs: d (q - 16). */
export const dequantizeQ50: Dequantize = (blocks, out) => {
  const half = halfTable();
  for (let y = 0, x = 0; y < out.length; y += blockElements, x += 22) {
    const d = half[blocks[x]! | (blocks[x + 1]! << 8)]!;
    const qh = fifthBits(blocks, x + 2);
    for (let j = 0; j < 16; j++) {
      const q = blocks[x + 6 + j]!;
      out[y + j] = d * (((q & 15) | (((qh >>> j) & 1) << 4)) - 16);
      out[y + j + 16] = d * (((q >> 4) | (((qh >>> (j + 16)) & 1) << 4)) - 16);
    }
  }
};

/** d, m, qh, qs: d q + m. */
export const dequantizeQ51: Dequantize = (blocks, out) => {
  const half = halfTable();
  for (let y = 0, x = 0; y < out.length; y += blockElements, x += 24) {
    const d = half[blocks[x]! | (blocks[x + 1]! << 8)]!;
    const m = half[blocks[x + 2]! | (blocks[x + 3]! << 8)]!;
    const qh = fifthBits(blocks, x + 4);
    for (let j = 0; j < 16; j++) {
      const q = blocks[x + 8 + j]!;
      out[y + j] = d * ((q & 15) | (((qh >>> j) & 1) << 4)) + m;
      out[y + j + 16] = d * ((q >> 4) | (((qh >>> (j + 16)) & 1) << 4)) + m;
    }
  }
};

/** d, q as signed bytes: d q. */
export const dequantizeQ80: Dequantize = (blocks, out) => {
  const half = halfTable();
  for (let y = 0, x = 0; y < out.length; y += blockElements, x += 34) {
    const d = half[blocks[x]! | (blocks[x + 1]! << 8)]!;
    for (let j = 0; j < blockElements; j++) out[y + j] = d * ((blocks[x + 2 + j]! << 24) >> 24);
  }
};

function fifthBits(blocks: Uint8Array, at: number): number {
  return blocks[at]! | (blocks[at + 1]! << 8) | (blocks[at + 2]! << 16) | (blocks[at + 3]! << 24);
}
