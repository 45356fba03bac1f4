import { nearest } from './nearest.mjs';
import { SPLITS } from './source.mjs';
import { draws } from './text.mjs';

/** Passages drawn as distractors come from this many nearest ones half of the time, as a retriever would bring them. */
const NEAR = 8;
const BUSINESS_LINE = {
  en: ({ name, about }) => `You are the customer-service assistant of ${name}. ${about}`,
  zh: ({ name, about }) => `你是${name}的客服助手。${about}`,
};
const GROUNDED_LINE = { en: 'Answer from the passages only.', zh: '只根据资料回答。' };
const TOOL_LINE = {
  en: 'You may call these functions. Write a call as <tool_call>{"name": ..., "arguments": {...}}</tool_call>.\nFunctions: ',
  zh: '你可以调用下列函数。调用时写成 <tool_call>{"name": ..., "arguments": {...}}</tool_call>。\n函数：',
};

/** All generated files of a pack: path below the pack's folder -> rows. */
export const generate = (pack) => {
  const files = {};
  for (const split of SPLITS) {
    const inSplit = (rows, kind) => rows.filter((row) => row.split === split && (!kind || row.kind === kind));
    const faq = pack.faq.flatMap((entry) => entry.questions[split].map((question) => ({ entry, question })));
    const outOfScope = inSplit(pack.cases, 'out_of_scope');
    files[`${split}/faq.jsonl`] = faq.map(({ entry, question }) => faqRow(pack, entry, question));
    files[`${split}/conversations.jsonl`] = inSplit(pack.conversations).map((row) =>
      conversationRow(pack, row),
    );
    files[`${split}/out-of-scope.jsonl`] = outOfScope.map((row) => outOfScopeRow(pack, row));
    files[`${split}/hand-off.jsonl`] = inSplit(pack.cases, 'hand_off').map((row) => handOffRow(pack, row));
    files[`${split}/tools.jsonl`] = inSplit(pack.cases, 'tool').map((row) => toolRow(pack, row));
    files[`${split}/intents.jsonl`] = [
      ...faq
        .filter(({ entry }) => entry.intent !== undefined)
        .map(({ entry, question }) => ({ text: question, intent: entry.intent, lang: pack.lang })),
      ...outOfScope.map((row) => ({ text: row.question, intent: 'oos', lang: pack.lang })),
    ];
  }
  return Object.fromEntries(Object.entries(files).filter(([, rows]) => rows.length > 0));
};

const faqRow = (pack, entry, question) => {
  const draw = draws(`${pack.name}/faq/${entry.id}/${question}`);
  const others = distractors(pack, question, [entry.id, ...(entry.also ?? [])], 1 + draw.below(3), draw);
  const context = draw.shuffle([passageOf(pack, entry.id), ...others]);
  return { question, context, answer: entry.answer, lang: pack.lang, gold_ids: [entry.id], faq: entry.id };
};

const outOfScopeRow = (pack, { question, passages = [] }) => {
  const draw = draws(`${pack.name}/oos/${question}`);
  const given = passages.map((id) => passageOf(pack, id));
  const more = passages.length === 0 ? distractors(pack, question, [], 2 + draw.below(2), draw) : [];
  return {
    question,
    context: draw.shuffle([...given, ...more]),
    answer: null,
    lang: pack.lang,
    gold_ids: [],
  };
};

const conversationRow = (pack, { passages, messages }) => {
  const text = userText(messages);
  const draw = draws(`${pack.name}/conversation/${text}`);
  const others = distractors(pack, text, passages, draw.below(3), draw);
  return chatRow(pack, messages, draw.shuffle([...passages.map((id) => passageOf(pack, id)), ...others]));
};

const handOffRow = (pack, { passages, messages }) => {
  const text = userText(messages);
  const draw = draws(`${pack.name}/hand-off/${text}`);
  const context = passages ? passages.map((id) => passageOf(pack, id)) : distractors(pack, text, [], 2, draw);
  return chatRow(pack, messages, draw.shuffle(context));
};

const toolRow = (pack, { tools, messages }) => ({
  messages: [
    { role: 'system', content: `${businessLine(pack)}\n${TOOL_LINE[pack.lang]}${JSON.stringify(tools)}` },
    ...messages.map(({ role, content }) => ({ role, content })),
  ],
  lang: pack.lang,
  source: 'edgedesk',
});

const chatRow = (pack, messages, context) => {
  const passages = context.map(({ title, text }, index) => `\n\n[${index + 1}] ${title}\n${text}`).join('');
  const head = passages === '' ? '' : `\n${GROUNDED_LINE[pack.lang]}${passages}`;
  return {
    messages: [
      { role: 'system', content: `${businessLine(pack)}${head}` },
      ...messages.map(({ role, content }) => ({ role, content })),
    ],
    lang: pack.lang,
    source: 'edgedesk',
  };
};

const businessLine = (pack) => BUSINESS_LINE[pack.lang](pack.profile);

const userText = (messages) =>
  messages
    .filter(({ role }) => role === 'user')
    .map(({ content }) => content)
    .join('\n');

const passageOf = (pack, id) => {
  const { title, text } = pack.knowledge.find((entry) => entry.id === id);
  return { id, title, text };
};

/** `count` passages of the same business, none of `taken`: near ones and any ones, half and half. */
const distractors = (pack, query, taken, count, draw) => {
  const ranked = nearest(pack.knowledge, query).filter((id) => !taken.includes(id));
  const chosen = [];
  while (chosen.length < count && ranked.length > 0) {
    const among = draw.below(2) === 0 ? Math.min(NEAR, ranked.length) : ranked.length;
    chosen.push(...ranked.splice(draw.below(among), 1));
  }
  return chosen.map((id) => passageOf(pack, id));
};
