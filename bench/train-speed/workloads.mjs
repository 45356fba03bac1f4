import { readdir } from 'node:fs/promises';
import {
  chatMlSpecialTokens,
  chatMlTemplate,
  createTokenizer,
  rowToConversation,
  trainByteLevelBpe,
} from '@edgedesk/models';
import { readRows } from '@edgedesk/models/node';
import { TokenSourceBuilder, tokenizeRows, uniformAt } from '@edgedesk/train';

/** @typedef {{ name: string, sequence: number, batch: number, source: import('@edgedesk/train').TokenSource }} Workload */

export const vocabSize = 8192;
/** Positions of one step of ours. The twin's batch has as many documents as hold that many tokens on average. */
const positions = 2048;
const chatSequence = 512;
const textSequence = 256;
const textDocuments = 512;

const packs = ['bank', 'clinic', 'retail'].flatMap((pack) =>
  ['en', 'zh'].map((lang) => `../../packs/${pack}/${lang}/train/`),
);

/**
 * `text`: rows full of random tokens, loss on all. `chat`: the packs' conversations, loss on replies. `grounded`: the
 * packs' questions over passages, loss on answers.
 * @returns {Promise<Workload[]>}
 */
export async function makeWorkloads() {
  const chat = await packFiles(['conversations.jsonl', 'hand-off.jsonl', 'tools.jsonl']);
  const grounded = await packFiles(['faq.jsonl', 'out-of-scope.jsonl']);
  const json = await trainByteLevelBpe(texts([...chat, ...grounded]), {
    vocabSize,
    specialTokens: chatMlSpecialTokens,
  });
  const codec = {
    tokenizer: createTokenizer({ json, chatTemplate: chatMlTemplate }),
    fingerprint: '',
    separatorId: 0,
  };
  const tokenized = (name, files) =>
    tokenizeRows(rowsOf(files), name, codec, {
      maxTokens: chatSequence + 1,
      lossOn: 'assistant',
      grounded: { distractors: 0, unanswerable: 0, variants: 1 },
      seed: 1,
    });
  return [
    { name: 'text', sequence: textSequence, batch: positions / textSequence, source: randomText() },
    ...(await Promise.all(
      [
        ['chat', chat],
        ['grounded', grounded],
      ].map(async ([name, files]) => ({
        name,
        sequence: chatSequence,
        batch: positions / chatSequence,
        source: await tokenized(name, files),
      })),
    )),
  ];
}

/** Documents as the twin reads them: ids and, for each, whether it is a target. */
export function documentsOf(source) {
  return Array.from({ length: source.offsets.length - 1 }, (_, d) => {
    const [from, to] = [source.offsets[d], source.offsets[d + 1]];
    const at = Array.from({ length: to - from }, (_, i) => from + i);
    return {
      ids: at.map((i) => source.tokens[i]),
      loss: at.map((i) => (source.lossBits[i >>> 3] >>> (i & 7)) & 1),
    };
  });
}

/** Documents that hold about as many tokens as a step of ours. */
export function twinBatch(source) {
  const documents = source.offsets.length - 1;
  return Math.max(1, Math.round(positions / ((source.tokens.length - documents) / documents)));
}

function randomText() {
  const builder = new TokenSourceBuilder('text', vocabSize);
  for (let d = 0; d < textDocuments; d++) {
    const ids = Array.from({ length: textSequence + 1 }, (_, i) =>
      Math.floor(uniformAt(1, d, i) * vocabSize),
    );
    builder.add({ ids, loss: new Uint8Array(ids.length).fill(1) });
  }
  return builder.build();
}

async function packFiles(names) {
  const files = [];
  for (const folder of packs) {
    const url = new URL(folder, import.meta.url);
    const present = await readdir(url);
    files.push(...names.filter((name) => present.includes(name)).map((name) => new URL(name, url).pathname));
  }
  return files;
}

async function* rowsOf(files) {
  for (const file of files) yield* readRows(file);
}

async function* texts(files) {
  for await (const row of rowsOf(files)) {
    const conversation = rowToConversation(row);
    yield conversation.kind === 'text'
      ? conversation.text
      : conversation.messages.map(({ content }) => content).join('\n');
  }
}
