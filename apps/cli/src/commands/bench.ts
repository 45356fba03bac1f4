import type { SpeedReport } from '@edgedesk/eval';
import { Command, Option } from 'commander';
import { engineNames } from '../model/engine-choice.js';
import type { EngineName } from '../model/engine-choice.js';
import type { ModelFacts } from '../model/open-model.js';
import { formatBytes } from '../terminal/format.js';
import { jsonOption, writeJson } from '../terminal/json.js';
import type { JsonTarget } from '../terminal/json.js';
import { wholeNumber } from '../terminal/numbers.js';

interface BenchOptions {
  readonly engine: EngineName[];
  readonly prompt: number;
  readonly new: number;
  readonly repeats: number;
  readonly json?: JsonTarget;
}

export function benchCommand(): Command {
  return new Command('bench')
    .description('Measure speed and memory of a model in a fresh process')
    .argument('<model>', 'artefact or checkpoint folder, or a GGUF file')
    .addOption(
      new Option(
        '--engine <name...>',
        'what runs it, one after another: llama.cpp needs the optional package node-llama-cpp',
      )
        .choices(engineNames)
        .default(['onnxruntime'], 'onnxruntime'),
    )
    .option('--prompt <n>', 'prompt length in tokens', wholeNumber(1, 1_000_000), 256)
    .option('--new <n>', 'tokens to generate', wholeNumber(2, 1_000_000), 64)
    .option('--repeats <n>', 'measured runs; the median counts', wholeNumber(1, 1000), 5)
    .option(...jsonOption)
    .addHelpText(
      'after',
      `
This is the model's own speed: speculation, which wins where replies copy, is off while measuring.

Examples:
  edgedesk bench out/int4
  edgedesk bench out/int4 --prompt 1024 --new 128 --json speed.json
  edgedesk bench out/int4 --engine onnxruntime llama.cpp`,
    )
    .action(bench);
}

interface Measured extends ModelFacts {
  readonly engine: EngineName;
  readonly speed: SpeedReport;
}

async function bench(model: string, options: BenchOptions): Promise<void> {
  const [{ readModelFacts, runnableOf }, { measureModelSpeed }] = await Promise.all([
    import('../model/open-model.js'),
    import('../model/measure-speed.js'),
  ]);
  const measured: Measured[] = [];
  for (const engine of new Set(options.engine)) {
    const runnable = await runnableOf(model, engine);
    const facts = await readModelFacts(runnable);
    const speed = await measureModelSpeed(runnable, {
      promptTokens: options.prompt,
      newTokens: options.new,
      repeats: options.repeats,
    });
    measured.push({ engine, ...facts, speed });
  }
  if (await writeJson(options.json, measured.length === 1 ? measured[0]! : { engines: measured })) return;
  process.stdout.write(measured.map((one) => describe(one, options)).join('\n'));
}

function describe({ engine, speed, ...facts }: Measured, options: BenchOptions): string {
  const range = ([least, most]: readonly [number, number], digits: number) =>
    `${least.toFixed(digits)} to ${most.toFixed(digits)}`;
  const { spread, peakRssBytes } = speed;
  return [
    `${facts.name} on ${engine}: ${formatBytes(facts.sizeBytes)}, ${facts.bitsPerWeight.toFixed(2)} bits a weight`,
    `first token   ${speed.ttftMs.toFixed(1)} ms (${range(spread.ttftMs, 1)}) after ${options.prompt} prompt tokens`,
    `prefill       ${speed.prefillTokensPerSecond.toFixed(0)} tokens/s (${range(spread.prefillTokensPerSecond, 0)})`,
    `decode        ${speed.decodeTokensPerSecond.toFixed(0)} tokens/s (${range(spread.decodeTokensPerSecond, 0)}), ${options.new} tokens`,
    ...(peakRssBytes === undefined ? [] : [`peak memory   ${formatBytes(peakRssBytes)}`]),
    options.repeats === 1
      ? 'One run; --repeats shows how far runs differ.'
      : `Median of ${options.repeats} runs, with the smallest and the largest.`,
    '',
  ].join('\n');
}
