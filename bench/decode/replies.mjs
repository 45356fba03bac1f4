// Real replies with and without speculation, beside llama.cpp's native speed on the same tokens; see README.md.
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { nodeBackend } from '@edgedesk/tensor/node';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: '12' },
    new: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: String(availableParallelism()) },
    out: { type: 'string', default: 'out/bench-decode' },
    gguf: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    json: { type: 'string' },
  },
});
const [folder] = positionals;
if (folder === undefined) {
  console.error(
    'Name an artefact of a model that follows instructions: node bench/decode/replies.mjs FOLDER',
  );
  process.exit(1);
}
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const child = async (command, args) =>
  JSON.parse((await promisify(execFile)(command, args, { maxBuffer: 2 ** 26 })).stdout);

await mkdir(values.out, { recursive: true });
const spoken = join(values.out, 'replies.json');
/** Tokens a second of each contestant in each kind of conversation, one a round. */
const speeds = new Map();
const note = (kind, contestant, speed) => {
  const key = `${kind} | ${contestant}`;
  speeds.set(key, [...(speeds.get(key) ?? []), speed]);
};
let counts = {};
for (let round = 0; round < Number(values.rounds); round++) {
  const ours = await child(process.execPath, [
    here('replies-ours.mjs'),
    folder,
    values.rows,
    values.new,
    values.threads,
  ]);
  counts = ours.counts;
  for (const { kind, speculation, tokensPerSecond } of ours.speeds) {
    note(kind, speculation === 'off' ? 'ONNX Runtime, plain' : 'ONNX Runtime, speculation', tokensPerSecond);
  }
  if (values.gguf !== undefined) {
    await writeFile(spoken, JSON.stringify(ours.replies));
    const theirs = await child(values.python, [
      here('replies_llama.py'),
      values.gguf,
      spoken,
      values.threads,
    ]);
    for (const [kind, tokensPerSecond] of Object.entries(theirs)) note(kind, 'llama.cpp', tokensPerSecond);
  }
}

console.log(
  `${cpus()[0]?.model ?? 'unknown CPU'}, ${values.threads} threads; ${nodeBackend().name}; Node ${process.version}; ${folder}`,
);
for (const [kind, { replies, tokens, drafted, accepted }] of Object.entries(counts)) {
  console.log(
    `${kind}: ${replies} replies, ${tokens} tokens, ${drafted} drafted, ${accepted} of them true; the text is the same`,
  );
}
console.log('\n| conversation | contestant | decode tok/s | to llama.cpp |');
console.log('|---|---|--:|--:|');
for (const [key, found] of speeds) {
  const peer = speeds.get(`${key.split(' | ')[0]} | llama.cpp`);
  const ratio = peer === undefined ? '' : `${(median(found) / median(peer)).toFixed(2)}x`;
  const range = `${Math.min(...found).toFixed(1)}-${Math.max(...found).toFixed(1)}`;
  console.log(`| ${key} | ${median(found).toFixed(1)} (${range}) | ${ratio} |`);
}
if (values.json !== undefined) {
  const machine = { cpu: cpus()[0]?.model, threads: Number(values.threads), node: process.version };
  await writeFile(
    values.json,
    `${JSON.stringify({ machine, settings: values, counts, speeds: Object.fromEntries(speeds) }, null, 2)}\n`,
  );
}

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
