import { pieces } from './text.mjs';

/** English words keep this many letters, so that "returned" meets "returns". */
const STEM = 5;

/** What a text is about: Latin words of three letters or more, and pairs of Chinese characters. */
const termsOf = (text) => {
  const words = text
    .normalize('NFKC')
    .toLowerCase()
    .match(/\p{Script=Latin}{3,}/gu);
  const pairs = [...pieces(text, 2)].filter((pair) => /^\p{Script=Han}{2}$/u.test(pair));
  return new Set([...(words ?? []).map((word) => word.slice(0, STEM)), ...pairs]);
};

const indexes = new WeakMap();

/** Terms of every passage and what each term weighs: the rarer, the more (inverse document frequency). */
const indexOf = (knowledge) => {
  if (!indexes.has(knowledge)) {
    const passages = knowledge.map(({ id, title, text }) => ({ id, terms: termsOf(`${title}\n${text}`) }));
    const counts = new Map();
    for (const { terms } of passages) for (const term of terms) counts.set(term, (counts.get(term) ?? 0) + 1);
    const weights = new Map([...counts].map(([term, count]) => [term, Math.log(passages.length / count)]));
    indexes.set(knowledge, { passages, weights });
  }
  return indexes.get(knowledge);
};

/** Ids of all passages, the nearest to the query first, as a retriever would rank them. */
export const nearest = (knowledge, query) => {
  const { passages, weights } = indexOf(knowledge);
  const wanted = [...termsOf(query)].filter((term) => weights.has(term));
  const scoreOf = (terms) => wanted.reduce((sum, term) => sum + (terms.has(term) ? weights.get(term) : 0), 0);
  return passages
    .map(({ id, terms }) => ({ id, score: scoreOf(terms) }))
    .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
    .map(({ id }) => id);
};
