/**
 * Philox-2x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a counter-based generator. A draw
 * is a pure function of (seed, stream, index), so a position in the sequence is a number and a resumed run needs no
 * generator state.
 */
const multiplier = 0xd256d193;
const weyl = 0x9e3779b9;
const rounds = 10;

/** High 32 bits of the unsigned product of two 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle & 0xffff) + aLow * bHigh;
  return (aHigh * bHigh + Math.floor(middle / 65_536) + Math.floor(carry / 65_536)) >>> 0;
}

/** 64 random bits as two unsigned 32-bit words, written to `out`. */
export function philox(seed: number, stream: number, index: number, out: Uint32Array): void {
  let key = seed >>> 0;
  let c0 = index >>> 0;
  let c1 = stream >>> 0;
  for (let round = 0; round < rounds; round++) {
    const high = multiplyHigh(multiplier, c0);
    const low = Math.imul(multiplier, c0) >>> 0;
    c0 = (high ^ key ^ c1) >>> 0;
    c1 = low;
    key = (key + weyl) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
}

const words = new Uint32Array(2);

/** Uniform in [0, 1) with 32 random bits. */
export function uniformAt(seed: number, stream: number, index: number): number {
  philox(seed, stream, index, words);
  return words[0]! / 2 ** 32;
}

/** Fills `out` with normal numbers of the given deviation (Box-Muller over the stream's draws). */
export function fillNormal(out: Float32Array, deviation: number, seed: number, stream: number): void {
  for (let i = 0; i < out.length; i += 2) {
    philox(seed, stream, i >>> 1, words);
    const radius = deviation * Math.sqrt(-2 * Math.log((words[0]! + 0.5) / 2 ** 32));
    const angle = (2 * Math.PI * words[1]!) / 2 ** 32;
    out[i] = radius * Math.cos(angle);
    if (i + 1 < out.length) out[i + 1] = radius * Math.sin(angle);
  }
}

/** A random order of 0..count-1 (Fisher and Yates). */
export function permutation(count: number, seed: number, stream: number): Uint32Array<ArrayBuffer> {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(uniformAt(seed, stream, i) * (i + 1));
    const held = order[i]!;
    order[i] = order[j]!;
    order[j] = held;
  }
  return order;
}

/** A stream number of its own for a name and a counter (FNV-1a). */
export function streamOf(name: string, counter = 0): number {
  let hash = 0x811c9dc5 ^ counter;
  for (let i = 0; i < name.length; i++) {
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}
