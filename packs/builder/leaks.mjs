import { SPLITS } from './source.mjs';
import { jaccard, normalise, pieces, weightOf } from './text.mjs';

/** Chat turns below this weight ("thanks, bye") are everybody's and may stand in both splits. */
const SMALL_TALK = 20;
/** Above this share of common three-letter pieces two phrasings are one with a letter changed. */
const NEAR_COPY = 0.85;

/** Sets of sizes too far apart cannot share enough, which spares most comparisons. */
const similar = (a, b) =>
  Math.min(a.size, b.size) >= NEAR_COPY * Math.max(a.size, b.size) && jaccard(a, b) > NEAR_COPY;

/** Everything a customer says in a pack: { text, key, split, where, answers }; `answers` says what it is a question for. */
const customerTexts = (pack) => {
  const texts = [];
  const add = (text, split, where, answers) =>
    texts.push({ text, key: normalise(text), split, where, answers });
  const addTurns = (row) => {
    for (const { role, content } of row.messages)
      if (
        role === 'user' &&
        !content.startsWith('<tool_response>') &&
        weightOf(normalise(content)) >= SMALL_TALK
      )
        add(content, row.split, row.where, 'chat');
  };
  for (const entry of pack.faq)
    for (const split of SPLITS)
      for (const question of entry.questions[split]) add(question, split, entry.where, `faq ${entry.id}`);
  pack.conversations.forEach(addTurns);
  for (const row of pack.cases)
    if (row.kind === 'out_of_scope') add(row.question, row.split, row.where, 'out_of_scope');
    else addTurns(row);
  return texts;
};

/** Repeated ids, passages, questions and chats inside one pack. */
export const findDuplicates = (pack) => {
  const problems = [];
  const once = (items, keyOf, what) => {
    const seen = new Map();
    for (const item of items) {
      const key = keyOf(item);
      if (seen.has(key)) problems.push(`${item.where}: repeats the ${what} of ${seen.get(key)}`);
      else seen.set(key, item.where);
    }
  };
  once(pack.knowledge, (row) => row.id, 'id');
  once(pack.knowledge, (row) => normalise(row.text), 'text');
  once(pack.faq, (row) => normalise(row.answer), 'answer');
  const chat = (row) => normalise(row.messages.map(({ content }) => content).join('|'));
  once([...pack.conversations, ...pack.cases.filter((row) => row.messages)], chat, 'messages');
  const questions = customerTexts(pack).filter(({ answers }) => answers !== 'chat');
  once(questions, ({ key, split }) => `${split}/${key}`, 'question');
  return problems;
};

/** Dev and test texts that stand in a train split of the same language, any domain, or nearly so among the FAQ of the same pack. */
export const findLeaks = (packs) => {
  const problems = [];
  for (const lang of new Set(packs.map((pack) => pack.lang))) {
    const groups = packs.filter((pack) => pack.lang === lang).map(customerTexts);
    const trained = new Map(
      groups.flat().map((item) => (item.split === 'train' ? [item.key, item.where] : ['', ''])),
    );
    for (const items of groups) {
      const train = items
        .filter(({ split }) => split === 'train')
        .map((item) => ({ ...item, set: pieces(item.text, 3) }));
      for (const { text, key, where, split } of items) {
        if (split === 'train') continue;
        const same = trained.get(key);
        if (same) problems.push(`${where}: ${split} text "${text}" is trained on in ${same}`);
        const set = pieces(text, 3);
        const near = same ? undefined : train.find((other) => similar(set, other.set));
        if (near) problems.push(`${where}: ${split} text "${text}" is nearly the train text "${near.text}"`);
      }
    }
  }
  return problems;
};
