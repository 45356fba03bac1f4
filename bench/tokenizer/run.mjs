#!/usr/bin/env node
/**
 * Bytes a token at several vocabulary sizes, of one training.
 *
 *   node bench/tokenizer/run.mjs --sizes 8192,12288,16384 --characters 3000000 --train FILE ... -- TEST-FILE ...
 *
 * BPE learns its merges in order of use, so a smaller vocabulary is a larger one without its last merges.
 * `--characters` are read from each training file at most.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { chatMlSpecialTokens, createTokenizer, rowToConversation, trainByteLevelBpe } from '@edgedesk/models';
import { readRows } from '@edgedesk/models/node';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sizes: { type: 'string', default: '8192,12288,16384' },
    characters: { type: 'string', default: '3000000' },
    train: { type: 'string', multiple: true, default: [] },
    json: { type: 'string' },
  },
});
const sizes = values.sizes.split(',').map(Number);

async function* textsOf(file, characters = Infinity) {
  let left = characters;
  for await (const row of readRows(file)) {
    if (left <= 0) return;
    if (row.kind === 'retrieval') continue;
    const conversation = rowToConversation(row);
    const text =
      conversation.kind === 'text'
        ? conversation.text
        : conversation.messages.map(({ content }) => content).join('\n');
    left -= text.length;
    yield text;
  }
}

async function* trainingTexts() {
  for (const file of values.train) yield* textsOf(file, Number(values.characters));
}

/** `json` with a vocabulary of `size`: the specials, the bytes and the first merges. */
function shortened(json, size) {
  const entries = Object.entries(json.model.vocab).filter(([, id]) => id < size);
  const merges = json.model.merges.slice(0, size - chatMlSpecialTokens.length - 256);
  return { ...json, model: { ...json.model, vocab: Object.fromEntries(entries), merges } };
}

const largest = await trainByteLevelBpe(trainingTexts(), {
  vocabSize: Math.max(...sizes),
  specialTokens: chatMlSpecialTokens,
});
if (values.json) writeFileSync(values.json, JSON.stringify(largest));
console.log(['bytes a token', ...sizes].join('\t'));
const tokenizers = sizes.map((size) => createTokenizer({ json: shortened(largest, size) }));
for (const file of positionals) {
  let bytes = 0;
  const tokens = sizes.map(() => 0);
  for await (const text of textsOf(file, 400_000)) {
    bytes += Buffer.byteLength(text);
    tokenizers.forEach((tokenizer, i) => (tokens[i] += tokenizer.encode(text).length));
  }
  console.log([file, ...tokens.map((count) => (bytes / count).toFixed(3))].join('\t'));
}
