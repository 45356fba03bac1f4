import { Command } from 'commander';
import type { CalibrationFiles } from '@edgedesk/compress/node';
import { RecipeError } from '@edgedesk/tensor';
import { jsonOption, writeJson } from '../terminal/json.js';
import type { JsonTarget } from '../terminal/json.js';
import { wholeNumber } from '../terminal/numbers.js';

interface CompressOptions {
  readonly bits: string;
  readonly method: string;
  readonly calibration?: readonly string[];
  readonly calibrationTokens?: number;
  readonly embeddingBits?: string;
  readonly storedBits?: string;
  readonly group?: number;
  readonly asymmetric?: boolean;
  readonly out: string;
  readonly json?: JsonTarget;
}

const bitChoices = [32, 16, 8, 4, 3, 2] as const;
const storedChoices = [8, 4, 2] as const;
const methodChoices = ['rtn', 'search', 'gptq'] as const;

export function compressCommand(): Command {
  return new Command('compress')
    .description('Write a checkpoint as an artefact with fewer bits a weight')
    .argument('<model>', 'checkpoint folder in the Hugging Face layout, or a GGUF file')
    .requiredOption('--bits <n>', `bits of information in a weight: ${bitChoices.join(', ')}`)
    .requiredOption('--out <folder>', 'folder to write; an earlier artefact there is replaced')
    .option(
      '--stored-bits <n>',
      'store them in no fewer than these: 3 are always stored in 4, and some runtimes have no kernels for 2',
    )
    .option('--group <n>', 'weights that share a scale, with 8 and fewer bits (default: 32)', wholeNumber(1))
    .option('--asymmetric', 'give each group a zero point too, with 8 and fewer bits')
    .option(
      '--method <name>',
      'how 8 and fewer bits are found: rtn (rounding), search (scales by what the inputs matter) or gptq (best)',
      'rtn',
    )
    .option(
      '--calibration <file...>',
      'rows for search and gptq to look at: dialogue like what the model will meet',
    )
    .option('--calibration-tokens <n>', 'how much of them (default: 65536)', wholeNumber(1))
    .option(
      '--embedding-bits <n>',
      `bits of embedding and head (default: those of --bits): ${bitChoices.join(', ')}`,
    )
    .option(...jsonOption)
    .addHelpText(
      'after',
      `
Examples:
  edgedesk compress models/edgedesk-base --bits 4 --out out/int4
  edgedesk compress smollm2-135m-instruct.Q8_0.gguf --bits 4 --out out/smollm2
  edgedesk compress models/edgedesk-base --bits 4 --group 64 --asymmetric --out out/int4-g64a
  edgedesk compress models/edgedesk-base --bits 4 --method gptq --calibration chats.jsonl --out out/gptq`,
    )
    .action(compress);
}

function parseBits<Bits extends number>(text: string, where: string, choices: readonly Bits[]): Bits {
  const bits = choices.find((choice) => String(choice) === text);
  if (bits !== undefined) return bits;
  throw new RecipeError(`a weight cannot be given ${text} bits`, {
    where,
    fix: `choose one of ${choices.join(', ')}`,
  });
}

function parseMethod(text: string): (typeof methodChoices)[number] {
  const method = methodChoices.find((choice) => choice === text);
  if (method !== undefined) return method;
  throw new RecipeError(`there is no method "${text}"`, {
    where: '--method',
    fix: `choose one of ${methodChoices.join(', ')}`,
  });
}

/** RecipeError where only one of a method that looks at text and the text is there. */
function calibrationOf(options: CompressOptions, method: string): CalibrationFiles | undefined {
  const { calibration, calibrationTokens } = options;
  if (method === 'rtn') {
    if (calibration === undefined && calibrationTokens === undefined) return undefined;
    throw new RecipeError('rounding to nearest looks at no text', {
      where: calibration === undefined ? '--calibration-tokens' : '--calibration',
      fix: 'leave it out, or choose --method gptq or --method search',
    });
  }
  if (calibration !== undefined) {
    return { files: calibration, ...(calibrationTokens === undefined ? {} : { tokens: calibrationTokens }) };
  }
  throw new RecipeError(`${method} looks at text, and no file was named`, {
    where: '--calibration',
    fix: 'name files of dialogue rows, or choose --method rtn',
  });
}

async function compress(model: string, options: CompressOptions): Promise<void> {
  const bits = parseBits(options.bits, '--bits', bitChoices);
  const method = parseMethod(options.method);
  const calibration = calibrationOf(options, method);
  const embeddingBits =
    options.embeddingBits && parseBits(options.embeddingBits, '--embedding-bits', bitChoices);
  const storedBits = options.storedBits && parseBits(options.storedBits, '--stored-bits', storedChoices);
  const [{ compressWithProgress }, { locateModel }] = await Promise.all([
    import('../model/compress-model.js'),
    import('../model/locate-model.js'),
  ]);
  const { kind, path } = await locateModel(model);
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
      method,
      ...(calibration === undefined ? {} : { calibration }),
      ...(embeddingBits ? { embeddingBits } : {}),
      ...(storedBits ? { storedBits } : {}),
      ...(options.group === undefined ? {} : { groupSize: options.group }),
      ...(options.asymmetric === undefined ? {} : { asymmetric: options.asymmetric }),
    },
    `Compressing ${model}`,
  );
  const { name, sizeBytes, parameters, bitsPerWeight, informationBitsPerWeight } = manifest;
  const report = {
    name,
    out: options.out,
    sizeBytes,
    parameters,
    bitsPerWeight,
    ...(informationBitsPerWeight === undefined ? {} : { informationBitsPerWeight }),
  };
  if (await writeJson(options.json, report)) return;
  process.stdout.write(`${options.out}: try it with \`edgedesk chat ${options.out}\`.\n`);
}
