// Replies of one artefact in a process of its own: replies-ours.mjs FOLDER ROWS NEW THREADS -> JSON
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { openEngine } from '@edgedesk/runtime/node';

const folder = process.argv[2];
const [rows, fresh, threads] = process.argv.slice(3).map(Number);
const packs = ['retail', 'bank', 'clinic'];
const plainQuestions = [
  'Hello, who are you?',
  'How do I cook rice?',
  'Explain what a database is.',
  'What should I do in Paris for two days?',
  'My laptop is slow. What can I do?',
  'Tell me a story about a dog and a cat.',
];

const engine = await openEngine(folder, { threads });
const prompts = [...(await groundedPrompts()), ...chatPrompts()];
const totals = new Map();
const counts = {};
const replies = [];
// The first warms up. Both ways take turns, so a change in the machine's mood meets both.
await speak(prompts[0].ids, 'auto');
for (const { kind, ids } of prompts) {
  const plain = await speak(ids, 'off');
  const drafted = await speak(ids, 'auto');
  if (plain.tokens.join() !== drafted.tokens.join()) throw new Error('speculation changed a reply');
  replies.push({ kind, ids, reply: plain.tokens });
  const count = (counts[kind] ??= { replies: 0, tokens: 0, drafted: 0, accepted: 0 });
  count.replies++;
  count.tokens += plain.finish.newTokens;
  count.drafted += drafted.finish.draftedTokens;
  count.accepted += drafted.finish.acceptedTokens;
  for (const [speculation, { finish }] of Object.entries({ off: plain, auto: drafted })) {
    const key = `${kind} ${speculation}`;
    const total = totals.get(key) ?? { kind, speculation, tokens: 0, ms: 0 };
    total.tokens += finish.newTokens - 1;
    total.ms += finish.decodeMs;
    totals.set(key, total);
  }
}
await engine.close();
const speeds = [...totals.values()].map(({ kind, speculation, tokens, ms }) => ({
  kind,
  speculation,
  tokensPerSecond: (1000 * tokens) / ms,
}));
console.log(JSON.stringify({ speeds, counts, replies }));

async function speak(ids, speculation) {
  const tokens = [];
  let finish;
  for await (const chunk of engine.generate(ids, { maxNewTokens: fresh, speculation })) {
    tokens.push(...chunk.tokenIds);
    finish = chunk.finish ?? finish;
  }
  return { tokens, finish };
}

/**
 * The model quotes one of the passages in its prompt. A small model that was not trained for it seldom answers in the
 * passage's words, so the first four words are put into its mouth; the others are its own.
 */
async function groundedPrompts() {
  const found = [];
  for (let i = 0; i < rows; i++) {
    const lines = await linesOf(packs[i % packs.length]);
    const { context } = lines[Math.floor((i * lines.length) / rows)];
    const passage = context[i % context.length];
    const passages = context.map(({ title, text }, n) => `[${n + 1}] ${title}\n${text}`);
    const messages = [
      { role: 'system', content: ['Answer from the passages only.', ...passages].join('\n\n') },
      { role: 'user', content: `${passage.title}? Repeat what the passage says, word for word.` },
    ];
    const opening = engine.encode(passage.text.split(' ').slice(0, 4).join(' '));
    const ids = [...engine.encodeChat(messages, { addGenerationPrompt: true }), ...opening];
    found.push({ kind: 'grounded, quoting', ids });
  }
  return found;
}

function chatPrompts() {
  return plainQuestions.map((content) => ({
    kind: 'plain chat',
    ids: engine.encodeChat([{ role: 'user', content }], { addGenerationPrompt: true }),
  }));
}

async function linesOf(pack) {
  const path = new URL(`../../packs/${pack}/en/test/faq.jsonl`, import.meta.url);
  return (await readFile(path, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}
