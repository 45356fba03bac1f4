/** A file that was changed, and how, for the message of a failing test. */
export interface Mutation {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface MutationOptions {
  readonly seed: number;
  readonly count: number;
  /** Changes fall below this offset, where everything is that steers a reader; data behind it may be any number. */
  readonly headerEnd: number;
  /** The header is text, so that numbers in it are digits. @default false */
  readonly text?: boolean;
}

/** Repeatable whole numbers below `n` (a linear congruence). */
export function dice(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** Lengths, counts and offsets that overflow something: a sign, 32 bits, 53 bits, 64 bits. */
const words = [
  0n,
  1n,
  0x7fn,
  0xffn,
  0xffffn,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 40n,
  2n ** 53n,
].concat([2n ** 62n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]);
const numbers = [
  '-1',
  '0',
  '1e308',
  '1e-5',
  '2147483648',
  '9007199254740993',
  '18446744073709551615',
  '9'.repeat(400),
];

/** `count` changed copies of `valid`, always the same ones: flipped bits, blown-up numbers, cuts, repeats and moves. */
export function* mutations(valid: Uint8Array, options: MutationOptions): Generator<Mutation> {
  const { seed, count, headerEnd, text = false } = options;
  const below = dice(seed);
  const span = (most: number): [number, number] => {
    const from = below(headerEnd);
    return [from, Math.min(headerEnd, from + 1 + below(most))];
  };
  const kinds: Record<string, () => Uint8Array<ArrayBuffer>> = {
    'flipped bits': () => {
      const bytes = Uint8Array.from(valid);
      for (let i = below(6); i >= 0; i--) bytes[below(headerEnd)]! ^= 1 << below(8);
      return bytes;
    },
    'blown-up number': () =>
      text ? otherDigits(valid, headerEnd, below) : otherWord(valid, headerEnd, below),
    cut: () => Uint8Array.from(valid.subarray(0, below(below(4) === 0 ? valid.length : headerEnd))),
    repeated: () => {
      const [from, to] = span(256);
      return joined(
        valid.subarray(0, to),
        ...new Array<Uint8Array>(1 + below(50)).fill(valid.subarray(from, to)),
        valid.subarray(to),
      );
    },
    'left out': () => {
      const [from, to] = span(64);
      return joined(valid.subarray(0, from), valid.subarray(to));
    },
    moved: () => {
      const [from, to] = span(512);
      return Uint8Array.from(valid).copyWithin(below(headerEnd), from, to);
    },
  };
  const names = Object.keys(kinds);
  for (let i = 0; i < count; i++) {
    const name = names[i % names.length]!;
    yield { name: `${name}, file ${i} of seed ${seed}`, bytes: kinds[name]!() };
  }
}

/** A 32- or 64-bit little-endian word anywhere. */
function otherWord(valid: Uint8Array, end: number, below: (n: number) => number): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from(valid);
  const view = new DataView(bytes.buffer);
  const word = words[below(words.length)]!;
  if (below(2) === 0) view.setBigUint64(below(Math.max(1, end - 8)), word, true);
  else view.setUint32(below(Math.max(1, end - 4)), Number(word & 0xffffffffn), true);
  return bytes;
}

/** Another number in the place of one in the text, or the length word before it. */
function otherDigits(valid: Uint8Array, end: number, below: (n: number) => number): Uint8Array<ArrayBuffer> {
  const isDigit = (at: number): boolean => valid[at]! >= 0x30 && valid[at]! <= 0x39;
  let from = below(end);
  while (from < end && !isDigit(from)) from++;
  if (from === end) return otherWord(valid, Math.min(end, 12), below);
  let to = from;
  while (to < end && isDigit(to)) to++;
  const digits = new TextEncoder().encode(numbers[below(numbers.length)]);
  return joined(valid.subarray(0, from), digits, valid.subarray(to));
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
