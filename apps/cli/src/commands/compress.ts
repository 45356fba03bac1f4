import { Command } from 'commander';
import type { BitsOptions, BudgetOptions, RecipeStep, Sensitivity } from '@edgedesk/compress';
import type { CalibrationFiles } from '@edgedesk/compress/node';
import { RecipeError } from '@edgedesk/tensor';
import { jsonOption, writeJson } from '../terminal/json.js';
import type { JsonTarget } from '../terminal/json.js';
import { byteSize } from '../terminal/byte-size.js';
import { decimal, wholeNumber } from '../terminal/numbers.js';

interface CompressOptions {
  readonly bits?: string;
  readonly targetSize?: number;
  readonly bitsPerWeight?: number;
  readonly mixBits?: readonly number[];
  readonly sensitivity?: string;
  readonly method?: string;
  readonly refine?: number;
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
const methodChoices = ['rtn', 'search', 'gptq', 'awq', 'awq+gptq'] as const;

export function compressCommand(): Command {
  return new Command('compress')
    .description('Write a checkpoint as an artefact with fewer bits a weight')
    .argument('<model>', 'checkpoint folder in the Hugging Face layout, or a GGUF file')
    .option('--bits <n>', `bits of information in every weight: ${bitChoices.join(', ')}`)
    .option(
      '--target-size <size>',
      'in place of --bits: each weight in the format that suits it, model and weights within this size (60MB)',
      byteSize,
    )
    .option(
      '--bits-per-weight <n>',
      'the same, within this many stored bits a weight, scales and all (3.6)',
      decimal(0.1, 32),
    )
    .option(
      '--mix-bits <n...>',
      'with a budget: bits that a weight may be given (default: 2 4 8)',
      (text: string, before: readonly number[] = []) => [...before, wholeNumber(2, 8)(text)],
    )
    .option(
      '--sensitivity <file>',
      'with a budget: what `edgedesk sensitivity --json FILE` has measured before',
    )
    .requiredOption('--out <folder>', 'folder to write; an earlier artefact there is replaced')
    .option(
      '--stored-bits <n>',
      'store them in no fewer than these: 3 are always stored in 4, and some runtimes have no kernels for 2',
    )
    .option('--group <n>', 'weights that share a scale, with 8 and fewer bits (default: 32)', wholeNumber(1))
    .option('--asymmetric', 'give each group a zero point too, with 8 and fewer bits')
    .option(
      '--method <name>',
      'how 8 and fewer bits are found: rtn (rounding), search (scales by what the inputs matter), gptq (best), awq or ' +
        'awq+gptq (scaled channels before search or gptq) (default: rtn, with a budget gptq); or trained: the grids ' +
        'of a model trained by a recipe with `quantize`, which need no --bits',
    )
    .option(
      '--refine <steps>',
      "tune each block's rounding and scales in so many steps once it is solved, with all methods but rtn (60 is much)",
      wholeNumber(1),
    )
    .option(
      '--calibration <file...>',
      'rows for all methods but rtn, and for budgets, to look at: dialogue like what the model will meet',
    )
    .option('--calibration-tokens <n>', 'how much of them (default: 65536)', wholeNumber(1))
    .option(
      '--embedding-bits <n>',
      `bits of embedding and head, with 8 and fewer bits (default: 8): ${bitChoices.join(', ')}`,
    )
    .option(...jsonOption)
    .addHelpText(
      'after',
      `
Examples:
  edgedesk compress models/edgedesk-base --bits 4 --out out/int4
  edgedesk compress smollm2-135m-instruct.Q8_0.gguf --bits 4 --out out/smollm2
  edgedesk compress models/edgedesk-base --bits 4 --group 64 --asymmetric --out out/int4-g64a
  edgedesk compress models/edgedesk-base --bits 4 --method gptq --calibration chats.jsonl --out out/gptq
  edgedesk compress models/edgedesk-base --bits 3 --method gptq --refine 40 --calibration chats.jsonl --out out/int3
  edgedesk compress runs/edgedesk-base-int4/model --method trained --out out/healed
  edgedesk compress models/edgedesk-base --target-size 7MB --calibration chats.jsonl --out out/7mb`,
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

/** RecipeError where only one of something that looks at text and the text is there. */
function calibrationOf(options: CompressOptions, looksAtText: string | null): CalibrationFiles | undefined {
  const { calibration, calibrationTokens } = options;
  if (looksAtText === null) {
    if (calibration === undefined && calibrationTokens === undefined) return undefined;
    throw new RecipeError('rounding to nearest looks at no text', {
      where: calibration === undefined ? '--calibration-tokens' : '--calibration',
      fix: 'leave it out, or choose --method gptq or --method search',
    });
  }
  if (calibration !== undefined) {
    return { files: calibration, ...(calibrationTokens === undefined ? {} : { tokens: calibrationTokens }) };
  }
  throw new RecipeError(`${looksAtText} looks at text, and no file was named`, {
    where: '--calibration',
    fix: 'name files of dialogue rows, or choose --bits and --method rtn',
  });
}

/** What every weight gets, with `--bits`. */
function uniformBits(options: CompressOptions, bits: string): BitsOptions {
  const budgetOnly = options.mixBits === undefined ? options.sensitivity && '--sensitivity' : '--mix-bits';
  if (budgetOnly !== undefined) {
    throw new RecipeError('all weights get the same bits', {
      where: budgetOnly,
      fix: 'leave it out, or give --target-size or --bits-per-weight in place of --bits',
    });
  }
  const { embeddingBits, storedBits, group, asymmetric, refine } = options;
  return {
    bits: parseBits(bits, '--bits', bitChoices),
    method: parseMethod(options.method ?? 'rtn'),
    ...(embeddingBits === undefined
      ? {}
      : { embeddingBits: parseBits(embeddingBits, '--embedding-bits', bitChoices) }),
    ...(storedBits === undefined
      ? {}
      : { storedBits: parseBits(storedBits, '--stored-bits', storedChoices) }),
    ...(group === undefined ? {} : { groupSize: group }),
    ...(asymmetric === undefined ? {} : { asymmetric }),
    ...(refine === undefined ? {} : { refine }),
  };
}

/** The recipe of weights that were trained on their grids, which leave nothing to be said. */
function trainedGrids(options: CompressOptions): { readonly recipe: readonly RecipeStep[] } {
  const { bits, targetSize, bitsPerWeight, mixBits, sensitivity, refine } = options;
  const { embeddingBits, storedBits, group, asymmetric, calibration, calibrationTokens } = options;
  const given = Object.entries({
    '--bits': bits,
    '--target-size': targetSize,
    '--bits-per-weight': bitsPerWeight,
    '--mix-bits': mixBits,
    '--sensitivity': sensitivity,
    '--refine': refine,
    '--embedding-bits': embeddingBits,
    '--stored-bits': storedBits,
    '--group': group,
    '--asymmetric': asymmetric,
    '--calibration': calibration,
    '--calibration-tokens': calibrationTokens,
  }).find(([, value]) => value !== undefined);
  if (!given) return { recipe: [{ pass: 'trained-grids' }] };
  throw new RecipeError('trained grids are taken over as they are', { where: given[0], fix: 'leave it out' });
}

/** What all weights together may take, with `--target-size` or `--bits-per-weight`. */
async function budgetFor(options: CompressOptions): Promise<BudgetOptions> {
  const { targetSize, bitsPerWeight, mixBits, sensitivity, embeddingBits, storedBits, group, asymmetric } =
    options;
  if ((targetSize === undefined) === (bitsPerWeight === undefined)) {
    throw new RecipeError('how small the model is to be was not said, or more than once', {
      where: '--bits, --target-size, --bits-per-weight',
      fix: 'give one of them',
    });
  }
  const uniform = Object.entries({
    '--embedding-bits': embeddingBits,
    '--stored-bits': storedBits,
    '--group': group,
    '--asymmetric': asymmetric,
    '--refine': options.refine,
  }).find(([, value]) => value !== undefined);
  if (uniform) {
    throw new RecipeError('with a budget each weight gets the format that suits it', {
      where: uniform[0],
      fix: 'leave it out, or give --bits in place of the budget',
    });
  }
  return {
    method: parseMethod(options.method ?? 'gptq'),
    ...(targetSize === undefined ? {} : { targetBytes: targetSize }),
    ...(bitsPerWeight === undefined ? {} : { bitsPerWeight }),
    ...(mixBits === undefined ? {} : { mixBits }),
    ...(sensitivity === undefined ? {} : { sensitivity: await sensitivityIn(sensitivity) }),
  };
}

/** Read only where it is asked for: the package brings the solvers along. */
async function sensitivityIn(file: string): Promise<Sensitivity> {
  const { readSensitivity } = await import('@edgedesk/compress/node');
  return readSensitivity(file);
}

async function compress(model: string, options: CompressOptions): Promise<void> {
  const isTrained = options.method === 'trained';
  const isBudget =
    options.bits === undefined || options.targetSize !== undefined || options.bitsPerWeight !== undefined;
  if (isBudget && !isTrained && options.bits !== undefined) {
    throw new RecipeError('a budget leaves the bits open', { where: '--bits', fix: 'leave it out' });
  }
  const settings = isTrained
    ? trainedGrids(options)
    : isBudget
      ? await budgetFor(options)
      : uniformBits(options, options.bits!);
  const method = 'method' in settings ? settings.method! : 'rtn';
  const looksAtText = isBudget && !isTrained ? 'a budget' : method === 'rtn' ? null : method;
  const calibration = calibrationOf(options, looksAtText);
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
      ...settings,
      ...(calibration === undefined ? {} : { calibration }),
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
