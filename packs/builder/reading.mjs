import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from './source.mjs';
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
  const problems = [];
  const seen = new Map();
  const read = (name, check, keyOf) => {
    const path = join(root, 'reading', lang, name);
    const label = `reading/${lang}/${name}`;
    if (!existsSync(path)) {
      problems.push(`${label}: missing`);
      return [];
    }
    return readFileSync(path, 'utf8')
      .split('\n')
      .flatMap((line, index) => {
        if (line === '') return [];
        const found = [];
        const say = (sentence) => found.push(`${label}:${index + 1}: ${sentence}`);
        let row;
        try {
          row = JSON.parse(line);
          check(row, say);
          const key = normalise(keyOf(row));
          if (seen.has(key)) say(`repeats ${seen.get(key)}`);
          else seen.set(key, `${label}:${index + 1}`);
        } catch (error) {
          say(`is not readable (${error.message})`);
        }
        problems.push(...found);
        return found.length === 0 ? [row] : [];
      });
  };
  const texts = read('texts.source.jsonl', checkText, (row) => row.text);
  const businesses = read('businesses.source.jsonl', checkBusiness, ({ business }) => business);
  return { name: `reading/${lang}`, folder: join(root, 'reading', lang), lang, texts, businesses, problems };
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
