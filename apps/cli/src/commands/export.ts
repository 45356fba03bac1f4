import { Command, Option } from 'commander';
import { jsonOption, writeJson } from '../terminal/json.js';
import type { JsonTarget } from '../terminal/json.js';

interface ExportOptions {
  readonly format: 'gguf' | 'gptq';
  readonly out: string;
  readonly bits?: '16' | '32';
  readonly zeroPoints: 'q4_1' | 'q5_0';
  readonly json?: JsonTarget;
}

export function exportCommand(): Command {
  return new Command('export')
    .description('Write a model in the format of another runtime, with the same quantized values')
    .argument('<model>', 'artefact or checkpoint folder, or a GGUF file')
    .addOption(
      new Option(
        '--format <name>',
        'gguf: one file for llama.cpp; gptq: a folder for transformers, vLLM and TensorRT-LLM',
      )
        .choices(['gguf', 'gptq'])
        .makeOptionMandatory(),
    )
    .requiredOption(
      '--out <path>',
      'file (gguf) or folder (gptq) to write; an earlier export there is replaced',
    )
    .addOption(
      new Option(
        '--bits <n>',
        'of a checkpoint: bits a weight (default: as stored, no value changes)',
      ).choices(['16', '32']),
    )
    .addOption(
      new Option(
        '--zero-points <type>',
        'GGUF type for 4-bit groups with zero points: q4_1 holds few of them exactly, q5_0 all, in 5.5 bits',
      )
        .choices(['q4_1', 'q5_0'])
        .default('q4_1'),
    )
    .option(...jsonOption)
    .addHelpText(
      'after',
      `
Examples:
  edgedesk export out/int4 --format gguf --out out/int4.gguf
  edgedesk export out/int4 --format gptq --out out/int4-gptq
  edgedesk export models/edgedesk-base --format gguf --bits 16 --out out/base-f16.gguf`,
    )
    .action(run);
}

async function run(model: string, options: ExportOptions): Promise<void> {
  const { format, out, bits, zeroPoints } = options;
  const [{ exportWithProgress }, { locateModel }] = await Promise.all([
    import('../model/export-model.js'),
    import('../model/locate-model.js'),
  ]);
  const report = await exportWithProgress(
    {
      source: (await locateModel(model)).path,
      format,
      out,
      ...(bits === undefined ? {} : { bits: bits === '16' ? 16 : 32 }),
      asymmetricType: zeroPoints === 'q5_0' ? 'Q5_0' : 'Q4_1',
    },
    `Exporting ${model}`,
  );
  if (await writeJson(options.json, report)) return;
  const hint =
    format === 'gguf' ? `try it with \`llama-cli -m ${out}\`` : `try it with \`vllm serve ${out}\``;
  process.stdout.write(`${out}: ${hint}.\n`);
}
