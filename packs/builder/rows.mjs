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
/** The reply to what no passage answers, word for word as the library has it (`refusalReply`). */
const REFUSAL = {
  en: '<no_answer/>I could not find that in our information. Would you like me to connect you with a colleague?',
  zh: '<no_answer/>抱歉，现有资料里没有相关内容，需要为您转接人工客服吗？',
};
const TOOL_LINE = {
  en: 'You may call these functions. Write a call as <tool_call>{"name": ..., "arguments": {...}}</tool_call>.\nFunctions: ',
  zh: '你可以调用下列函数。调用时写成 <tool_call>{"name": ..., "arguments": {...}}</tool_call>。\n函数：',
};

/** Questions of one visit at most. */
const VISIT = 4;
/** What is said around the questions, with the replies. */
const SMALL_TALK = {
  en: {
    greetings: [
      ['Hi', 'Hello! How can I help you?'],
      ['hi there', 'Hi! What can I do for you?'],
      ['hello', 'Hello! What would you like to know?'],
      ['Good morning', 'Good morning! How can I help?'],
      ['good evening', 'Good evening! How can I help?'],
      ['hey', 'Hi! How can I help you today?'],
      ['Is anyone there?', 'Yes, I am here. How can I help?'],
      ['can you help me', 'Of course. What is it about?'],
      ['I have a question', 'Go ahead, I am happy to help.'],
    ],
    thanks: [
      ['Thanks', 'You are welcome! Is there anything else?'],
      ['thank you so much', 'My pleasure. Anything else I can do?'],
      ['ok great', 'Glad I could help. Anything else?'],
      ['ok', 'Is there anything else you would like to know?'],
      ['perfect, thanks a lot', 'You are welcome! Let me know if you need anything else.'],
      ['got it', 'Good. Is there anything else I can help with?'],
      ['That helps', 'Glad to hear it. Anything else?'],
      ['thx', 'You are welcome!'],
    ],
    partings: [
      ['Bye', 'Goodbye, and have a nice day!'],
      ["no that's all", 'Then have a good day. Goodbye!'],
      ['thanks, bye', 'You are welcome. Goodbye!'],
      ["That's everything, thank you", 'You are welcome. Have a nice day!'],
      ['see you', 'See you, take care!'],
      ['nope, bye', 'Goodbye, and take care!'],
    ],
  },
  zh: {
    greetings: [
      ['在吗', '在的，请问有什么可以帮您？'],
      ['你好', '您好，请问有什么可以帮您？'],
      ['您好', '您好，请问想了解什么？'],
      ['有人吗', '在的，您请说。'],
      ['哈喽', '您好，请问有什么可以帮您？'],
      ['早上好', '早上好，请问有什么可以帮您？'],
      ['我想问个问题', '好的，您请说。'],
      ['问一下', '您请说。'],
      ['客服在不在', '在的，请问有什么可以帮您？'],
    ],
    thanks: [
      ['谢谢', '不客气，还有别的可以帮您吗？'],
      ['好的', '好的，还有其他想了解的吗？'],
      ['明白了', '好的，还有其他问题随时问我。'],
      ['知道了，谢谢啊', '不客气，有问题随时找我。'],
      ['嗯嗯好', '好的，还有什么可以帮您？'],
      ['太好了', '能帮到您就好，还有别的吗？'],
      ['行', '好的，还有其他问题吗？'],
      ['多谢', '不用客气，还有什么可以帮您？'],
    ],
    partings: [
      ['再见', '再见，祝您生活愉快！'],
      ['没有了', '好的，祝您生活愉快，再见！'],
      ['谢谢，再见', '不客气，再见！'],
      ['没别的事了，拜拜', '好的，再见，祝您一切顺利！'],
      ['就这些，谢谢', '不客气，祝您生活愉快！'],
      ['拜', '再见，有需要随时找我。'],
    ],
  },
};

/** All generated files of a pack: path below the pack's folder -> rows. */
export const generate = (pack) => {
  const files = {};
  for (const split of SPLITS) {
    const inSplit = (rows, kind) => rows.filter((row) => row.split === split && (!kind || row.kind === kind));
    const faq = pack.faq.flatMap((entry) => entry.questions[split].map((question) => ({ entry, question })));
    const outOfScope = inSplit(pack.cases, 'out_of_scope');
    files[`${split}/faq.jsonl`] = faq.map(({ entry, question }) => faqRow(pack, entry, question));
    if (split === 'train') files['train/visits.jsonl'] = visitRows(pack, faq, outOfScope);
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

/**
 * A visit: several FAQ questions in a row, as conversations run, with greetings, thanks and partings around them, and in a
 * third of them a question that no passage answers. One in four is without passages: the business by heart.
 */
const visitRows = (pack, faq, outOfScope) => {
  const draw = draws(`${pack.name}/visits`);
  const waiting = draw.shuffle(faq);
  const strange = draw.shuffle(outOfScope);
  const rows = [];
  while (waiting.length > 0) {
    const asked = waiting.splice(0, 1 + draw.below(VISIT));
    const taken = [...new Set(asked.map(({ entry }) => entry.id))];
    // Half of the others come near to a question, as a retriever brings them.
    const others = distractors(pack, asked[0].question, taken, 1 + draw.below(3), draw);
    const byHeart = draw.below(4) === 0;
    const context = byHeart ? [] : draw.shuffle([...taken.map((id) => passageOf(pack, id)), ...others]);
    const turns = asked.map(({ entry, question }) => exchange(question, entry.answer));
    const talk = SMALL_TALK[pack.lang];
    const some = (list) => list[draw.below(list.length)];
    if (draw.below(3) === 0) {
      const { question } = strange[rows.length % strange.length];
      turns.splice(draw.below(turns.length + 1), 0, exchange(question, REFUSAL[pack.lang]));
    }
    if (draw.below(3) === 0) turns.splice(1 + draw.below(turns.length), 0, exchange(...some(talk.thanks)));
    if (draw.below(3) === 0) turns.unshift(exchange(...some(talk.greetings)));
    if (draw.below(3) === 0) turns.push(exchange(...some(talk.partings)));
    rows.push(chatRow(pack, turns.flat(), context));
  }
  return rows;
};

const exchange = (question, answer) => [
  { role: 'user', content: question },
  { role: 'assistant', content: answer },
];

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
