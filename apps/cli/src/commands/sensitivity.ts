import { Command, Option } from 'commander';
import { environmentLanguage } from '../terminal/language.js';
import { jsonOption, writeJson } from '../terminal/json.js';
import type { JsonTarget } from '../terminal/json.js';
import { wholeNumber } from '../terminal/numbers.js';

interface SensitivityOptions {
  readonly calibration: readonly string[];
  readonly calibrationTokens?: number;
  readonly method: 'rtn' | 'search' | 'gptq';
  readonly tokens?: number;
  readonly report?: string;
  readonly json?: JsonTarget;
}

export function sensitivityCommand(): Command {
  return new Command('sensitivity')
    .description('Measure how much worse a model becomes when each of its weights is stored in fewer bits')
    .argument('<model>', 'checkpoint folder in the Hugging Face layout, or a GGUF file')
    .requiredOption('--calibration <file...>', 'rows to measure on: dialogue like what the model will meet')
    .option(
      '--calibration-tokens <n>',
      'how much of them quantizes the weights (default: 65536)',
      wholeNumber(1),
    )
    .addOption(
      new Option('--method <name>', 'how the weights are quantized')
        .choices(['rtn', 'search', 'gptq'])
        .default('gptq'),
    )
    .option('--tokens <n>', 'tokens that the output is compared on (default: 512)', wholeNumber(16, 65_536))
    .option('--report <file>', 'write an HTML page with plots')
    .option(...jsonOption)
    .addHelpText(
      'after',
      `
The file that --json writes spares \`edgedesk compress --target-size S --sensitivity FILE\` the measurement.

Examples:
  edgedesk sensitivity models/edgedesk-base --calibration chats.jsonl
  edgedesk sensitivity models/edgedesk-base --calibration chats.jsonl --json base.sensitivity.json --report base.html
  edgedesk compress models/edgedesk-base --target-size 7MB --sensitivity base.sensitivity.json \\
    --calibration chats.jsonl --out out/7mb`,
    )
    .action(sensitivity);
}

async function sensitivity(model: string, options: SensitivityOptions): Promise<void> {
  const { calibration, calibrationTokens, method, tokens } = options;
  const { measureWithProgress } = await import('../model/measure-sensitivity.js');
  const { config, sensitivity: measured } = await measureWithProgress(model, {
    calibration: {
      files: calibration,
      ...(calibrationTokens === undefined ? {} : { tokens: calibrationTokens }),
    },
    method,
    ...(tokens === undefined ? {} : { probeTokens: tokens }),
  });
  const { frontierOf } = await import('@edgedesk/compress');
  const frontier = frontierOf(measured, config);
  if (options.report !== undefined) {
    const [{ sensitivityHtml }, { writeFileAtomic }] = await Promise.all([
      import('../report/sensitivity-html.js'),
      import('@edgedesk/tensor/node'),
    ]);
    await writeFileAtomic(options.report, sensitivityHtml(measured, frontier, environmentLanguage()));
  }
  if (await writeJson(options.json, measured)) return;
  const { sensitivityTables } = await import('../report/sensitivity-text.js');
  process.stdout.write(sensitivityTables(measured, frontier, environmentLanguage()));
}
