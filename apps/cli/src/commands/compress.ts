import { Command } from 'commander';
import { RecipeError } from '@edgedesk/tensor';
import { jsonOption, writeJson } from '../terminal/json.js';
import type { JsonTarget } from '../terminal/json.js';
import { wholeNumber } from '../terminal/numbers.js';

interface CompressOptions {
  readonly bits: string;
  readonly group?: number;
  readonly asymmetric?: boolean;
  readonly out: string;
  readonly json?: JsonTarget;
}

const bitChoices = [32, 16, 8, 4] as const;

export function compressCommand(): Command {
  return new Command('compress')
    .description('Write a checkpoint as an artefact with fewer bits a weight')
    .argument('<model>', 'checkpoint folder in the Hugging Face layout, or a GGUF file')
    .requiredOption('--bits <n>', `bits a weight: ${bitChoices.join(', ')}`)
    .requiredOption('--out <folder>', 'folder to write; an earlier artefact there is replaced')
    .option('--group <n>', 'weights that share a scale, with 8 and 4 bits (default: 32)', wholeNumber(1))
    .option('--asymmetric', 'give each group a zero point too, with 8 and 4 bits')
    .option(...jsonOption)
    .addHelpText(
      'after',
      `
Examples:
  edgedesk compress models/edgedesk-base --bits 4 --out out/int4
  edgedesk compress smollm2-135m-instruct.Q8_0.gguf --bits 4 --out out/smollm2
  edgedesk compress models/edgedesk-base --bits 4 --group 64 --asymmetric --out out/int4-g64a`,
    )
    .action(compress);
}

function parseBits(text: string): (typeof bitChoices)[number] {
  const bits = bitChoices.find((choice) => String(choice) === text);
  if (bits !== undefined) return bits;
  throw new RecipeError(`a weight cannot be given ${text} bits`, {
    where: '--bits',
    fix: `choose one of ${bitChoices.join(', ')}`,
  });
}

async function compress(model: string, options: CompressOptions): Promise<void> {
  const bits = parseBits(options.bits);
  const [{ compressWithProgress }, { locateModel }] = await Promise.all([
    import('../model/compress-model.js'),
    import('../model/locate-model.js'),
  ]);
  const { kind, path } = locateModel(model);
  if (kind === 'artefact') {
    throw new RecipeError('this is an artefact already', {
      where: model,
      fix: 'give the checkpoint that it was made from',
    });
  }
  const manifest = await compressWithProgress(
    {
      model: path,
      out: options.out,
      bits,
      ...(options.group === undefined ? {} : { groupSize: options.group }),
      ...(options.asymmetric === undefined ? {} : { asymmetric: options.asymmetric }),
    },
    `Compressing ${model}`,
  );
  const { name, sizeBytes, parameters, bitsPerWeight } = manifest;
  const report = { name, out: options.out, sizeBytes, parameters, bitsPerWeight };
  if (await writeJson(options.json, report)) return;
  process.stdout.write(`${options.out}: try it with \`edgedesk chat ${options.out}\`.\n`);
}
