import { join } from 'node:path';
import { readSource, text } from './source.mjs';
import { draws, normalise } from './text.mjs';

/** Texts longer than this are a slip: a passage and its questions must fit into a context of 1,024 tokens. */
const LIMITS = { title: 120, passage: 1500, question: 400, answer: 400 };
/** One in this many texts is held out for choosing between recipes. */
const DEV_SHARE = 20;

const checkPassage = (passage, say) => {
  text(passage, 'title', LIMITS.title, say);
  text(passage, 'text', LIMITS.passage, say);
};

const checkQuestions = ({ questions }, say, checkOne) => {
  if (!Array.isArray(questions) || questions.length === 0) return say('has no questions');
  for (const question of questions) {
    text(question, 'q', LIMITS.question, say);
    checkOne(question);
  }
  return undefined;
};

/** A text with questions that are answered by its own words. */
const checkText = (row, say) => {
  checkPassage(row, say);
  checkQuestions(row, say, (question) => {
    text(question, 'a', LIMITS.answer, say);
    if (!`${row.text}`.includes(question.a)) say(`the answer "${question.a}" does not stand in the text`);
  });
};

/** A business with what its customers ask; `p` is the passage that answers, null where none does. */
const checkBusiness = (row, say) => {
  text(row, 'business', LIMITS.title, say);
  if (!Array.isArray(row.passages) || row.passages.length === 0) return say('has no passages');
  for (const passage of row.passages) checkPassage(passage, say);
  return checkQuestions(row, say, (question) => {
    if (question.p === null) return;
    if (row.passages[question.p] === undefined) say(`question "${question.q}" names no passage`);
    text(question, 'a', LIMITS.answer, say);
  });
};

/** Reads the reading exercises of one language; rows with a problem are left out. */
export const readReading = (root, lang) => {
  const name = `reading/${lang}`;
  const problems = [];
  const seen = new Map();
  const read = (file, check, keyOf) =>
    readSource(root, `${name}/${file}`, check, problems).filter((row) => {
      const key = normalise(keyOf(row));
      const first = seen.get(key);
      if (first === undefined) seen.set(key, row.where);
      else problems.push(`${row.where}: repeats ${first}`);
      return first === undefined;
    });
  const texts = read('texts.source.jsonl', checkText, (row) => row.text);
  const businesses = read('businesses.source.jsonl', checkBusiness, (row) => row.business);
  return { name, folder: join(root, name), lang, texts, businesses, problems };
};

/** All generated files: path below the folder -> grounded rows. A text or business is wholly in one split. */
export const generateReading = ({ lang, texts, businesses }) => {
  const files = {};
  const add = (name, key, rows) => {
    const split = draws(`reading/${lang}/${key}`).below(DEV_SHARE) === 0 ? 'dev' : 'train';
    (files[`${split}/${name}`] ??= []).push(...rows);
  };
  for (const { title, text: words, questions } of texts) {
    const context = [{ id: 'text', title, text: words }];
    add(
      'texts.jsonl',
      title,
      questions.map(({ q, a }) => ({ question: q, context, answer: a, lang, gold_ids: ['text'] })),
    );
  }
  for (const { business, passages, questions } of businesses) {
    const context = passages.map((passage, index) => ({ id: `p${index}`, ...passage }));
    add(
      'businesses.jsonl',
      business,
      questions.map(({ q, p, a }) => ({
        question: q,
        context,
        answer: p === null ? null : a,
        lang,
        gold_ids: p === null ? [] : [`p${p}`],
      })),
    );
  }
  return files;
};
