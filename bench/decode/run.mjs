// Decoding speed of our artefacts beside each other and beside llama.cpp; see README.md.
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { nodeBackend } from '@edgedesk/tensor/node';
import { ensureArtefact, shapes } from './models.mjs';

const { values } = parseArgs({
  options: {
    shapes: { type: 'string', default: 'base,135m' },
    bits: { type: 'string', default: '32,8,4' },
    prompt: { type: 'string', default: '256' },
    new: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
    repeats: { type: 'string', default: '3' },
    threads: { type: 'string', default: String(availableParallelism()) },
    out: { type: 'string', default: 'out/bench-decode' },
    gguf: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    json: { type: 'string' },
  },
});
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const settings = [values.prompt, values.new, values.repeats, values.threads];
const unknown = values.shapes.split(',').find((shape) => !(shape in shapes));
if (unknown !== undefined) {
  console.error(`--shapes: there is no shape "${unknown}"; use ${Object.keys(shapes).join(' or ')}.`);
  process.exit(1);
}

await mkdir(values.out, { recursive: true });
const contestants = [];
for (const shape of values.shapes.split(',')) {
  for (const bits of values.bits.split(',').map(Number)) {
    const folder = await ensureArtefact(values.out, shape, bits);
    contestants.push({
      name: folder.split('/').at(-1),
      command: process.execPath,
      args: [here('ours.mjs'), folder],
    });
  }
}
const llama = llamaVersion();
if (values.gguf !== undefined && llama !== null) {
  const quantized = join(values.out, 'llama-q4_0.gguf');
  if (!existsSync(quantized)) {
    execFileSync(values.python, [here('quantize.py'), values.gguf, quantized], { stdio: 'ignore' });
  }
  contestants.push({ name: 'llama.cpp Q4_0', command: values.python, args: [here('llama.py'), quantized] });
}

console.log(
  `${cpus()[0]?.model ?? 'unknown CPU'}, ${values.threads} threads; ${nodeBackend().name}; Node ${process.version}; ` +
    (llama === null ? `no llama-cpp-python for \`${values.python}\`` : `llama-cpp-python ${llama}`),
);
console.log(
  `${values.prompt} prompt tokens, ${values.new} new, greedy; medians (lowest-highest) of ${values.rounds} rounds x ` +
    `${values.repeats} runs, contestants in rotation, a fresh process each.\n`,
);
const results = new Map(contestants.map(({ name }) => [name, { runs: [], peakRssBytes: 0 }]));
for (let round = 0; round < Number(values.rounds); round++) {
  for (const { name, command, args } of contestants) {
    const { stdout } = await promisify(execFile)(command, [...args, ...settings]);
    const { runs, peakRssBytes } = JSON.parse(stdout);
    const result = results.get(name);
    result.runs.push(...runs);
    result.peakRssBytes = Math.max(result.peakRssBytes, peakRssBytes);
  }
}

console.log('| contestant | decode tok/s | prefill tok/s | first token ms | peak RSS MB |');
console.log('|---|--:|--:|--:|--:|');
for (const [name, { runs, peakRssBytes }] of results) {
  const cells = ['decode', 'prefill', 'ttftMs'].map((key) => summary(runs.map((run) => run[key])));
  console.log(`| ${[name, ...cells, (peakRssBytes / 1e6).toFixed(0)].join(' | ')} |`);
}
if (values.json !== undefined) {
  const machine = { cpu: cpus()[0]?.model, threads: Number(values.threads), node: process.version, llama };
  await writeFile(
    values.json,
    `${JSON.stringify({ machine, settings: values, results: Object.fromEntries(results) }, null, 2)}\n`,
  );
}

function summary(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const digits = sorted.at(-1) < 100 ? 1 : 0;
  const [median, low, high] = [sorted[sorted.length >> 1], sorted[0], sorted.at(-1)].map((x) =>
    x.toFixed(digits),
  );
  return `${median} (${low}-${high})`;
}

function llamaVersion() {
  try {
    return execFileSync(values.python, ['-c', 'import llama_cpp; print(llama_cpp.__version__)'], {
      stdio: ['ignore', 'pipe', 'ignore'],
      encoding: 'utf8',
    }).trim();
  } catch {
    return null;
  }
}
