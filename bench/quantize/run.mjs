// Compresses a model in several ways, and measures what each costs and loses; see README.md.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openEngine } from '@edgedesk/runtime/node';
import { judge, readPieces, referenceIn, withFloatActivations } from './judge.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    configurations: { type: 'string', default: here('configurations.json') },
    only: { type: 'string' },
    calibration: { type: 'string', multiple: true, default: [] },
    judged: { type: 'string', multiple: true, default: [] },
    tokens: { type: 'string', default: '2048' },
    'float-activations': { type: 'boolean', default: false },
    rtn: { type: 'string', default: 'rtn-4' },
    out: { type: 'string', default: 'out/bench-quantize' },
  },
});
const [base] = positionals;
if (base === undefined) {
  console.error('run.mjs CHECKPOINT --calibration NAME=FILE... [--judged NAME=FILE...] [--only NAME,NAME]');
  process.exit(1);
}
const named = (pairs) =>
  new Map(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
const calibration = named(values.calibration);
const judged = named(values.judged);
const configurations = JSON.parse(readFileSync(values.configurations, 'utf8'));
const chosen = values.only?.split(',') ?? Object.keys(configurations);
const unknown = chosen.find((name) => !(name in configurations));
if (unknown !== undefined) {
  console.error(
    `--only: there is no configuration "${unknown}"; use ${Object.keys(configurations).join(', ')}.`,
  );
  process.exit(1);
}

/** What a text's results are filed under. */
const keyOf = (text) => (values['float-activations'] ? `${text}, f32 activations` : text);

mkdirSync(values.out, { recursive: true });
const texts = new Map();
const references = new Map();
if (judged.size > 0) await readTexts();

for (const name of chosen) {
  const record = join(values.out, `${name}.json`);
  const known = existsSync(record) ? JSON.parse(readFileSync(record, 'utf8')) : null;
  const same = known?.configuration === configurations[name];
  const result = same ? known : { configuration: configurations[name], judged: {} };
  if (!same) {
    result.cost = await compress(name, configurations[name]);
    writeFileSync(record, `${JSON.stringify(result, null, 2)}\n`);
  }
  for (const [text, pieces] of texts) {
    if (result.judged[keyOf(text)]?.tokens === Number(values.tokens)) continue;
    const judging = (folder) => judge(folder, pieces, references.get(text));
    const folder = join(values.out, name);
    result.judged[keyOf(text)] = values['float-activations']
      ? await withFloatActivations(folder, judging)
      : await judging(folder);
    writeFileSync(record, `${JSON.stringify(result, null, 2)}\n`);
  }
}

console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores; Node ${process.version}\n`);
const results = chosen.map((name) => [
  name,
  JSON.parse(readFileSync(join(values.out, `${name}.json`), 'utf8')),
]);
for (const text of texts.keys()) {
  const { fullNll, tokens } = results[0][1].judged[keyOf(text)];
  console.log(
    `${keyOf(text)}: ${tokens} tokens, perplexity at full precision ${Math.exp(fullNll).toFixed(2)}\n`,
  );
  console.log('| configuration | perplexity | recovered | KL | same likeliest token |');
  console.log('|---|--:|--:|--:|--:|');
  const lost = rtnLoss(text);
  for (const [name, { judged: all }] of results) {
    const { nll, kl, klError, agreement } = all[keyOf(text)];
    const recovered = lost === null ? '-' : `${(100 * (1 - (nll - fullNll) / lost)).toFixed(0)} %`;
    const cells = [name, Math.exp(nll).toFixed(2), recovered, `${kl.toFixed(4)} ± ${klError.toFixed(4)}`];
    console.log(`| ${[...cells, `${(100 * agreement).toFixed(1)} %`].join(' | ')} |`);
  }
  console.log();
}
console.log('| configuration | MB | bits a weight | wall s | CPU s | peak RSS MB |');
console.log('|---|--:|--:|--:|--:|--:|');
for (const [name, { cost }] of results) {
  const cells = [cost.sizeBytes / 1e6, cost.bitsPerWeight, cost.wallSeconds, cost.cpuSeconds];
  const digits = [1, 2, 0, 0];
  const shown = cells.map((cell, i) => cell.toFixed(digits[i]));
  console.log(`| ${[name, ...shown, (cost.peakRssBytes / 1e6).toFixed(0)].join(' | ')} |`);
}

/** The judged texts, and what the model at full precision says of them. */
async function readTexts() {
  const full = join(values.out, 'full');
  if (!existsSync(full)) await compress('full', '--bits 32');
  const tokenizer = await openEngine(full);
  for (const [name, file] of judged)
    texts.set(name, await readPieces(file, Number(values.tokens), tokenizer));
  await tokenizer.close();
  for (const [name, pieces] of texts) {
    const file = join(values.out, `reference-${name}-${values.tokens}.f32`);
    references.set(name, await referenceIn(file, full, pieces));
  }
}

/** What rounding loses in nats a token; null where it was not measured. */
function rtnLoss(text) {
  const file = join(values.out, `${values.rtn}.json`);
  if (!existsSync(file)) return null;
  const rtn = JSON.parse(readFileSync(file, 'utf8')).judged[keyOf(text)];
  return rtn === undefined ? null : rtn.nll - rtn.fullNll;
}

/** `edgedesk compress` in a process of its own, which tells its processor time and peak memory as it ends. */
async function compress(name, configuration) {
  const args = configuration.split(' ').map((word) => calibration.get(word) ?? word);
  const meter = join(values.out, `${name}.meter.json`);
  // Linux counts the parent's memory into maxRSS, since a child is a copy of it until it starts the program.
  const atExit = `import { readFileSync, writeFileSync } from 'node:fs';
    process.on('exit', () => {
      const usage = process.resourceUsage();
      if (process.platform === 'linux')
        usage.maxRSS = Number(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
      writeFileSync(process.env.METER, JSON.stringify(usage));
    });`;
  const out = join(values.out, name);
  const started = performance.now();
  const child = spawn(
    process.execPath,
    [
      '--import',
      `data:text/javascript,${encodeURIComponent(atExit)}`,
      here('../../apps/cli/bin/edgedesk.js'),
      ...['compress', base, ...args, '--out', out, '--json', `${meter}.report`],
    ],
    { env: { ...process.env, METER: meter }, stdio: 'inherit' },
  );
  const code = await new Promise((resolve) => child.once('exit', resolve));
  const wallSeconds = (performance.now() - started) / 1000;
  if (code !== 0) process.exit(1);
  const { userCPUTime, systemCPUTime, maxRSS } = JSON.parse(readFileSync(meter, 'utf8'));
  const { sizeBytes, bitsPerWeight } = JSON.parse(readFileSync(`${meter}.report`, 'utf8'));
  for (const file of [meter, `${meter}.report`]) rmSync(file);
  return {
    wallSeconds,
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    peakRssBytes: maxRSS * 1024,
    sizeBytes,
    bitsPerWeight,
  };
}
