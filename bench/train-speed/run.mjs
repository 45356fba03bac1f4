// Training speed beside PyTorch's: node bench/train-speed/run.mjs [--python python3] [--configs 13.8M,42.7M]
//   [--workloads text,chat,grounded] [--rounds 7] [--steps 3] [--bf16] [--json FILE]
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nodeBackend } from '@edgedesk/tensor/node';
import { configs, documentTokens, lr, makeTrainer } from './ours.mjs';
import { torchVersion, Twin } from './twin.mjs';
import { documentsOf, makeWorkloads, twinBatch } from './workloads.mjs';

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    configs: { type: 'string', default: '13.8M,42.7M' },
    workloads: { type: 'string', default: 'text,chat,grounded' },
    rounds: { type: 'string', default: '7' },
    steps: { type: 'string', default: '3' },
    bf16: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const steps = Number(values.steps);
const backend = nodeBackend();
const torch = torchVersion(values.python);

console.log(
  `${cpus()[0]?.model ?? 'unknown CPU'}, ${backend.cores} threads; ${backend.name}; Node ${process.version}`,
);
console.log(
  torch === null
    ? `PyTorch is not installed for \`${values.python}\`: measuring ours alone (name another with --python).`
    : `PyTorch ${torch}, ${values.bf16 ? 'bf16 autocast' : 'fp32'}`,
);
console.log('Document tokens a second, median of rounds (spread); the two take turns within each round.\n');
console.log('| config | workload | ours | PyTorch | ratio (spread) | tokens with loss |');
console.log('|---|---|--:|--:|--:|--:|');

const results = [];
const chosen = (await makeWorkloads()).filter(({ name }) => values.workloads.split(',').includes(name));
for (const name of values.configs.split(',')) {
  for (const workload of chosen) results.push(await measure(name, workload));
}
if (values.json !== undefined) {
  const machine = {
    cpu: cpus()[0]?.model,
    threads: backend.cores,
    engine: backend.name,
    node: process.version,
    torch,
  };
  await writeFile(
    values.json,
    `${JSON.stringify({ machine, rounds, steps, bf16: values.bf16, results }, null, 2)}\n`,
  );
}

async function measure(configName, workload) {
  const config = configs[configName];
  if (config === undefined)
    throw new Error(`there is no config ${configName}; use ${Object.keys(configs).join(' or ')}`);
  const documents = documentsOf(workload.source);
  const trainer = makeTrainer(backend, config, workload);
  const folder = await mkdtemp(join(tmpdir(), 'train-speed-'));
  const twin = torch === null ? null : new Twin(values.python);
  try {
    const path = join(folder, 'documents.json');
    await writeFile(path, JSON.stringify(documents));
    const batch = twinBatch(workload.source);
    const setup = { config, documents: path, batch, threads: backend.cores, lr, bf16: values.bf16 };
    const built = await twin?.ask({ setup });
    if (built !== undefined && built.parameters !== trainer.parameterCount)
      throw new Error('the models differ');

    const ours = [];
    const theirs = [];
    // The first round warms both up: sessions are made, memory is mapped.
    for (let round = 0; round <= rounds; round++) {
      const mine = await ourSpeed(trainer);
      const other = await twin?.ask({ steps });
      if (round === 0) continue;
      ours.push(mine);
      if (other !== undefined) theirs.push(other.tokens / other.seconds);
    }
    const result = {
      config: configName,
      workload: workload.name,
      ours,
      pytorch: theirs,
      ratios: theirs.map((speed, i) => ours[i] / speed),
      lossShare: mean(documents.flatMap(({ loss }) => loss.slice(1))),
      twinBatch: batch,
    };
    console.log(
      `| ${configName} | ${workload.name} | ${range(ours, 0)} | ${range(theirs, 0)} | ${range(result.ratios, 2)} | ${(100 * result.lossShare).toFixed(0)} % |`,
    );
    return result;
  } finally {
    twin?.close();
    await trainer.release();
    await rm(folder, { recursive: true });
  }
}

async function ourSpeed(trainer) {
  const before = documentTokens(trainer);
  const startedAt = performance.now();
  for (let step = 0; step < steps; step++) await trainer.step();
  return (documentTokens(trainer) - before) / ((performance.now() - startedAt) / 1000);
}

function range(list, digits) {
  if (list.length === 0) return '-';
  const sorted = [...list].sort((a, b) => a - b);
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))].toFixed(digits);
  return `${at(0.5)} (${at(0)}-${at(1)})`;
}

function mean(list) {
  return list.reduce((a, b) => a + b, 0) / list.length;
}
