/** Text measures that treat English and Chinese alike. */

/** What two texts share when case, width, spacing, punctuation and the digits themselves do not count. */
export const normalise = (text) =>
  text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/\p{N}/gu, '0')
    .replace(/[^\p{L}\p{N}]/gu, '');

/** Length in Latin letters: a Chinese character says about as much as 2.5 of them. */
export const weightOf = (normalised) =>
  [...normalised].reduce((sum, c) => sum + (/\p{Script=Han}/u.test(c) ? 2.5 : 1), 0);

/** The set of `n`-character pieces of a text, for overlap measures. */
export const pieces = (text, n) => {
  const chars = [...normalise(text)];
  const found = new Set();
  for (let i = 0; i + n <= chars.length; i++) found.add(chars.slice(i, i + n).join(''));
  return found;
};

const shared = (a, b) => {
  let count = 0;
  for (const piece of a) if (b.has(piece)) count++;
  return count;
};

/** Share of common pieces, 0 to 1 (Jaccard). */
export const jaccard = (a, b) => {
  const common = shared(a, b);
  return common === 0 ? 0 : common / (a.size + b.size - common);
};

/** FNV-1a over UTF-8: the same seed on every machine. */
const hash = (text) => {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) h = Math.imul(h ^ byte, 0x01000193);
  return h >>> 0;
};

/** Seeded draws (mulberry32): `below(n)` is an integer in [0, n). The key names the row, so an edit to one row leaves the others alone. */
export const draws = (key) => {
  let state = hash(key);
  const below = (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
  const shuffle = (items) => {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = below(i + 1);
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  };
  return { below, shuffle };
};
