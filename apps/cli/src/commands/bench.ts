import { Command } from 'commander';
import { formatBytes } from '../terminal/format.js';
import { jsonOption, writeJson } from '../terminal/json.js';
import type { JsonTarget } from '../terminal/json.js';
import { wholeNumber } from '../terminal/numbers.js';

interface BenchOptions {
  readonly prompt: number;
  readonly new: number;
  readonly repeats: number;
  readonly json?: JsonTarget;
}

export function benchCommand(): Command {
  return new Command('bench')
    .description('Measure speed and memory of a model in a fresh process')
    .argument('<model>', 'artefact or checkpoint folder, or a GGUF file')
    .option('--prompt <n>', 'prompt length in tokens', wholeNumber(1, 1_000_000), 256)
    .option('--new <n>', 'tokens to generate', wholeNumber(2, 1_000_000), 64)
    .option('--repeats <n>', 'measured runs; the median counts', wholeNumber(1, 1000), 5)
    .option(...jsonOption)
    .addHelpText(
      'after',
      `
Examples:
  edgedesk bench out/int4
  edgedesk bench out/int4 --prompt 1024 --new 128 --json speed.json`,
    )
    .action(bench);
}

async function bench(model: string, options: BenchOptions): Promise<void> {
  const [{ artefactOf, readModelFacts }, { measureArtefactSpeed }] = await Promise.all([
    import('../model/open-model.js'),
    import('../model/measure-speed.js'),
  ]);
  const folder = await artefactOf(model);
  const facts = await readModelFacts(folder);
  const speed = await measureArtefactSpeed(folder, {
    promptTokens: options.prompt,
    newTokens: options.new,
    repeats: options.repeats,
  });
  if (await writeJson(options.json, { ...facts, speed })) return;
  const range = ([least, most]: readonly [number, number], digits: number) =>
    `${least.toFixed(digits)} to ${most.toFixed(digits)}`;
  const { spread, peakRssBytes } = speed;
  process.stdout.write(
    [
      `${facts.name}: ${formatBytes(facts.sizeBytes)}, ${facts.bitsPerWeight.toFixed(2)} bits a weight`,
      `first token   ${speed.ttftMs.toFixed(1)} ms (${range(spread.ttftMs, 1)}) after ${options.prompt} prompt tokens`,
      `prefill       ${speed.prefillTokensPerSecond.toFixed(0)} tokens/s (${range(spread.prefillTokensPerSecond, 0)})`,
      `decode        ${speed.decodeTokensPerSecond.toFixed(0)} tokens/s (${range(spread.decodeTokensPerSecond, 0)}), ${options.new} tokens`,
      ...(peakRssBytes === undefined ? [] : [`peak memory   ${formatBytes(peakRssBytes)}`]),
      `Median of ${options.repeats} runs, with the smallest and the largest.`,
      '',
    ].join('\n'),
  );
}
