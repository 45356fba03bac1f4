import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { draws, normalise } from './text.mjs';

/** Texts longer than this are a slip: a passage and its questions must fit into a context of 1,024 tokens. */
const LIMITS = { title: 120, passage: 1500, question: 400, answer: 400 };
/** One in this many texts is held out for choosing between recipes. */
const DEV_SHARE = 20;

const isText = (value, limit) => typeof value === 'string' && value.trim() === value && value.length > 0 && value.length <= limit;

const checkPassage = ({ title, text }, say) => {
  if (!isText(title, LIMITS.title)) say('`title` must be a text');
  if (!isText(text, LIMITS.passage)) say(`\`text\` must be a text of at most ${LIMITS.passage} characters`);
};

/** A text with questions that are answered by its own words. */
const checkText = (row, say) => {
  checkPassage(row, say);
  if (!Array.isArray(row.questions) || row.questions.length === 0) return say('has no questions');
  for (const { q, a } of row.questions) {
    if (!isText(q, LIMITS.question)) say('`q` must be a text');
    if (!isText(a, LIMITS.answer) || !row.text?.includes(a)) say(`the answer "${a}" does not stand in the text`);
  }
};

/** A business with what its customers ask; `p` is the passage that answers, null where none does. */
const checkBusiness = (row, say) => {
  if (!isText(row.business, LIMITS.title)) say('`business` must be a text');
  if (!Array.isArray(row.passages) || row.passages.length === 0) return say('has no passages');
  for (const passage of row.passages) checkPassage(passage, say);
  if (!Array.isArray(row.questions) || row.questions.length === 0) return say('has no questions');
  for (const { q, p, a } of row.questions) {
    if (!isText(q, LIMITS.question)) say('`q` must be a text');
    if (p === null) continue;
    if (row.passages[p] === undefined) say(`question "${q}" names no passage`);
    if (!isText(a, LIMITS.answer)) say(`question "${q}" has no answer`);
  }
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
  const texts = read('texts.source.jsonl', checkText, ({ text }) => text);
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
  for (const { title, text, questions } of texts) {
    const context = [{ id: 'text', title, text }];
    add(
      'texts.jsonl',
      title,
      questions.map(({ q, a }) => ({ question: q, context, answer: a, lang, gold_ids: ['text'] })),
    );
  }
  for (const { business, passages, questions } of businesses) {
    const context = passages.map(({ title, text }, index) => ({ id: `p${index}`, title, text }));
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
