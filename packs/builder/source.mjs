import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Texts longer than this are a slip: a passage must fit beside others in a context of 1,024 tokens. */
const LIMITS = { title: 80, passage: 900, question: 400, answer: 600, turn: 700 };
/** `dev` is for choosing between recipes, so that `test` stays for measuring. */
export const SPLITS = ['train', 'dev', 'test'];
const KINDS = ['out_of_scope', 'hand_off', 'tool'];
const ID = /^[a-z0-9]+(-[a-z0-9]+)*$/;
const LABEL = /^[a-z0-9]+(_[a-z0-9]+)*$/;
const CALL = /<tool_call>(.*)<\/tool_call>/s;
const RESPONSE = /^<tool_response>(.*)<\/tool_response>$/s;
const MARKS = /<\/?(?:no_answer|hand_off|tool_call|tool_response)\b[^>]*>/g;

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** The rows of `label`, a path below `root`. Problems are added as `label:line: sentence`; rows with one are left out. */
export const readSource = (root, label, checkRow, problems) => {
  const path = join(root, label);
  if (!existsSync(path)) {
    problems.push(`${label}: missing`);
    return [];
  }
  const rows = [];
  readFileSync(path, 'utf8')
    .split('\n')
    .forEach((line, index) => {
      if (line === '') return;
      const where = `${label}:${index + 1}`;
      const found = [];
      let row;
      try {
        row = JSON.parse(line);
        if (!isObject(row)) found.push('is not a JSON object');
        else checkRow(row, (sentence) => found.push(sentence));
      } catch (error) {
        found.push(`is not readable (${error.message})`);
      }
      problems.push(...found.map((sentence) => `${where}: ${sentence}`));
      if (found.length === 0) rows.push({ ...row, where });
    });
  return rows;
};

/** Reads one pack's sources. Problems are collected as `file:line: sentence`; rows with a problem are left out. */
export const readPack = (root, domain, lang) => {
  const problems = [];
  const folder = join(root, domain, lang);
  const readLines = (name, checkRow) => readSource(root, `${domain}/${lang}/${name}`, checkRow, problems);

  const profile = readProfile(join(folder, 'profile.json'), { domain, lang }, problems);
  const knowledge = readLines('knowledge.jsonl', (row, say) => {
    onlyKeys(row, ['id', 'title', 'text'], say);
    if (!ID.test(row.id ?? '')) say('`id` must be kebab-case');
    text(row, 'title', LIMITS.title, say);
    text(row, 'text', LIMITS.passage, say);
  });
  const ids = new Set(knowledge.map((entry) => entry.id));
  const known = (list, say) => {
    if (!Array.isArray(list)) return say('`passages` must be a list of knowledge ids');
    for (const id of list) if (!ids.has(id)) say(`passage \`${id}\` is not in knowledge.jsonl`);
    if (new Set(list).size < list.length) say('names a passage twice');
  };
  const faq = readLines('faq.source.jsonl', (row, say) => {
    onlyKeys(row, ['id', 'answer', 'questions', 'intent', 'also'], say);
    if (!ids.has(row.id)) say(`passage \`${row.id}\` is not in knowledge.jsonl`);
    text(row, 'answer', LIMITS.answer, say);
    if (row.intent !== undefined && !LABEL.test(row.intent)) say('`intent` must be snake_case');
    if (row.also !== undefined) known(row.also, say);
    for (const split of SPLITS) {
      const questions = row.questions?.[split];
      if (!Array.isArray(questions) || (questions.length === 0 && split !== 'dev')) say(`has no ${split} questions`);
      else for (const question of questions) text({ question }, 'question', LIMITS.question, say);
    }
  });
  const conversations = readLines('conversations.source.jsonl', (row, say) => {
    onlyKeys(row, ['split', 'passages', 'messages'], say);
    if (!SPLITS.includes(row.split)) say('`split` must be train, dev or test');
    known(row.passages, say);
    turns(row.messages, say);
    if (Array.isArray(row.messages) && row.messages.length < 4) say('has fewer than two exchanges');
  });
  const cases = readLines('cases.source.jsonl', (row, say) => {
    if (!SPLITS.includes(row.split)) say('`split` must be train, dev or test');
    if (!KINDS.includes(row.kind)) return say(`\`kind\` must be one of ${KINDS.join(', ')}`);
    if (row.passages !== undefined) known(row.passages, say);
    if (row.kind === 'out_of_scope') {
      onlyKeys(row, ['split', 'kind', 'question', 'passages'], say);
      return text(row, 'question', LIMITS.question, say);
    }
    onlyKeys(row, ['split', 'kind', 'messages', 'passages', 'tools'], say);
    turns(row.messages, say);
    if (!Array.isArray(row.messages)) return undefined;
    if (row.kind === 'hand_off' && !row.messages.at(-1)?.content?.startsWith('<hand_off/>'))
      say('the last message must start with <hand_off/>');
    return row.kind === 'tool' ? tools(row, say) : undefined;
  });
  return {
    name: `${domain}/${lang}`,
    folder,
    domain,
    lang,
    profile,
    knowledge,
    faq,
    conversations,
    cases,
    problems,
  };
};

const readProfile = (path, expected, problems) => {
  const where = `${expected.domain}/${expected.lang}/profile.json`;
  let profile;
  try {
    profile = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    problems.push(`${where}: is not readable (${error.message})`);
    return { name: '', about: '' };
  }
  for (const key of ['name', 'about', 'hours'])
    text(profile, key, LIMITS.passage, (s) => problems.push(`${where}: ${s}`));
  for (const key of ['domain', 'lang'])
    if (profile[key] !== expected[key]) problems.push(`${where}: \`${key}\` must be ${expected[key]}`);
  if (!isObject(profile.contact)) problems.push(`${where}: \`contact\` must be an object`);
  return profile;
};

const onlyKeys = (row, keys, say) => {
  for (const key of Object.keys(row)) if (!keys.includes(key)) say(`has an unknown field \`${key}\``);
};

/** Complains about a text that is missing, too long, broken, or names what may be somebody's. */
export const text = (row, key, limit, say) => {
  const value = row[key];
  if (typeof value !== 'string' || value.trim() === '') return say(`\`${key}\` must be a text`);
  if (value !== value.trim()) say(`\`${key}\` begins or ends with space`);
  if (value.length > limit) say(`\`${key}\` has ${value.length} characters, at most ${limit} fit`);
  if (/[\p{Cc}\uFFFD]/u.test(value.replaceAll('\n', ''))) say(`\`${key}\` has a control or broken character`);
  for (const [, host] of value.matchAll(/(?:@|https?:\/\/|www\.)([a-z0-9.-]*[a-z0-9])/gi))
    if (!/(?:^|\.)example(?:\.(?:com|org|net))?$/i.test(host))
      say(`\`${host}\` may be somebody's: use example.com`);
  for (const [number] of value.matchAll(/\b555-\d{4}\b/g))
    if (!number.startsWith('555-01')) say(`\`${number}\` may be somebody's: use 555-0100 to 555-0199`);
  return undefined;
};

const turns = (messages, say) => {
  if (!Array.isArray(messages) || messages.length < 2) return say('`messages` needs at least one exchange');
  messages.forEach((message, index) => {
    const role = index % 2 === 0 ? 'user' : 'assistant';
    if (message?.role !== role) return say(`message ${index + 1} must be the ${role}'s`);
    text(message, 'content', LIMITS.turn, say);
    for (const [mark] of `${message.content}`.matchAll(MARKS))
      if (!/^(?:<no_answer\/>|<hand_off\/>|<\/?tool_call>|<\/?tool_response>)$/.test(mark))
        say(`has a broken mark ${mark}`);
    return undefined;
  });
  if (messages.length % 2 !== 0) say("the last message must be the assistant's");
  return undefined;
};

/** A call must name a listed tool with its required arguments, and its response must follow in JSON. */
const tools = (row, say) => {
  if (!Array.isArray(row.tools) || row.tools.length === 0) return say('`tools` must list at least one tool');
  const byName = new Map(row.tools.map((tool) => [tool?.name, tool]));
  let calls = 0;
  row.messages.forEach((message, index) => {
    const json = CALL.exec(`${message.content}`)?.[1];
    if (json === undefined || message.role !== 'assistant') return;
    calls++;
    try {
      const call = JSON.parse(json);
      const tool = byName.get(call.name);
      if (!tool) return say(`calls \`${call.name}\`, which is not among its tools`);
      for (const name of tool.parameters?.required ?? [])
        if (!(name in call.arguments)) say(`calls \`${call.name}\` without \`${name}\``);
      for (const name of Object.keys(call.arguments))
        if (!(name in (tool.parameters?.properties ?? {})))
          say(`gives \`${call.name}\` an unknown argument \`${name}\``);
      JSON.parse(RESPONSE.exec(`${row.messages[index + 1]?.content}`)?.[1] ?? 'no tool response follows');
    } catch (error) {
      say(`message ${index + 1}: tool JSON is not readable (${error.message})`);
    }
    return undefined;
  });
  if (calls === 0) say('makes no tool call');
  return undefined;
};
