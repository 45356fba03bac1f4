import { Command } from 'commander';
import { environmentLanguage } from '../terminal/language.js';
import { jsonOption, writeJson } from '../terminal/json.js';
import type { JsonTarget } from '../terminal/json.js';
import { wholeNumber } from '../terminal/numbers.js';
import { engineOption } from '../model/engine-choice.js';
import type { EngineName } from '../model/engine-choice.js';

interface EvalOptions {
  readonly engine: EngineName;
  readonly base?: string;
  readonly data: string[];
  readonly limit?: number;
  readonly replyTokens: number;
  readonly seed: number;
  readonly speed: boolean;
  readonly json?: JsonTarget;
  readonly report?: string;
}

export function evalCommand(): Command {
  return new Command('eval')
    .description('Measure how good a model is on data, and what it keeps of a base')
    .argument('<model>', 'artefact or checkpoint folder, or a GGUF file')
    .requiredOption(
      '--data <file...>',
      'data files (.jsonl or .jsonl.gz): intent, chat, grounded, retrieval or text rows',
    )
    .option('--base <model>', 'the model before compression')
    .addOption(engineOption())
    .option('--limit <n>', 'rows a file, drawn from all over it', wholeNumber(1))
    .option('--reply-tokens <n>', 'longest reply', wholeNumber(1, 100_000), 128)
    .option('--seed <n>', 'same seed, same rows', wholeNumber(0, 2 ** 31), 1)
    .option('--no-speed', 'do not measure speed and memory')
    .option(...jsonOption)
    .option('--report <file>', 'write an HTML report with plots')
    .addHelpText(
      'after',
      `
Examples:
  edgedesk eval out/int4 --data packs/retail/en/test/faq.jsonl
  edgedesk eval out/int4 --base models/edgedesk-base --data packs/*/{en,zh}/test/*.jsonl --limit 50 --report report.html
  edgedesk eval out/int4 --data shop.jsonl --json | jq .data[0].metrics`,
    )
    .action(evaluateModel);
}

async function evaluateModel(model: string, options: EvalOptions): Promise<void> {
  const { evaluateArtefact } = await import('../model/evaluate-artefact.js');
  const report = await evaluateArtefact(model, {
    base: options.base,
    engine: options.engine,
    files: options.data,
    limit: options.limit,
    replyTokens: options.replyTokens,
    seed: options.seed,
    speed: options.speed,
  });
  if (options.report !== undefined) {
    const [{ htmlReport }, { writeFileAtomic }] = await Promise.all([
      import('@edgedesk/eval'),
      import('@edgedesk/tensor/node'),
    ]);
    await writeFileAtomic(options.report, htmlReport([report], { lang: environmentLanguage() }));
  }
  if (await writeJson(options.json, report)) return;
  const { reportTable } = await import('@edgedesk/eval');
  process.stdout.write(reportTable([report], { lang: environmentLanguage() }));
}
