import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import { compareModels, evaluate, htmlReport, reportTable } from '@edgedesk/eval';
import type { EvalReport, RowFile } from '@edgedesk/eval';
import type { Engine } from '@edgedesk/runtime';
import { CheckpointError } from '@edgedesk/tensor';
import { writeFileAtomic } from '@edgedesk/tensor/node';
import { chatInteractively } from '../chat/interactive.js';
import { compressWithProgress } from '../model/compress-model.js';
import { locateModel } from '../model/locate-model.js';
import { openArtefact } from '../model/open-model.js';
import { speedOf } from '../model/measure-speed.js';
import { interruptible } from '../terminal/abort.js';
import type { Language } from '../terminal/language.js';
import { Progress } from '../terminal/progress.js';
import { readDevSet, readShop, trainingRows } from './dev-set.js';
import { tourTexts } from './texts.js';
import type { TourTexts } from './texts.js';

export interface TourSettings {
  /** Checkpoint folder or GGUF file. @default the model that ships */
  readonly model?: string;
  readonly out: string;
  /** Rows of each set. @default what `evaluationMs` allows */
  readonly rows?: number;
  readonly language: Language;
}

/** The repository's root: this file lies in `apps/cli/dist/tour`. */
const checkout = fileURLToPath(new URL('../../../../', import.meta.url));
const shipped = join(checkout, 'models', 'edgedesk-base');

const variants = [
  { name: 'FP32', bits: 32 },
  { name: 'INT8', bits: 8 },
  { name: 'INT4', bits: 4 },
] as const;
/** Text that calibration looks at: enough for a small model, and it must fit into the five minutes. */
const calibrationTokens = 16_384;

/** Compressing, loading and the speed runs take the rest of the five minutes that the tour may last. */
const evaluationMs = 120_000;
const replyTokens = 64;
/** Fewer rows than this say nothing, more take long on fast machines for little news. */
const rowBounds = { least: 2, most: 60 };

/** Compresses the base model that ships, compares the results, writes the report and offers a chat. */
export async function runTour({ model = shipped, out, rows, language }: TourSettings): Promise<void> {
  const texts = tourTexts[language];
  if (model === shipped && !existsSync(join(shipped, 'config.json'))) {
    throw new CheckpointError('the model that ships is not in this checkout', {
      where: shipped,
      fix: 'train it with `npx edgedesk train models/edgedesk-base.recipe.yaml`, or name another with --model',
    });
  }
  const { kind, path: checkpoint } = await locateModel(model);
  if (kind === 'artefact') {
    throw new CheckpointError('this is an artefact already', { where: model, fix: 'name a checkpoint' });
  }
  process.stdout.write(`${texts.intro}\n`);
  const sets = await readDevSet(join(checkout, 'packs'));
  const models = variants.map((variant) => ({
    ...variant,
    path: join(out, `${basename(resolve(checkpoint))}-${variant.name.toLowerCase()}`),
  }));
  const calibration = { files: trainingRows(join(checkout, 'packs')), tokens: calibrationTokens };
  for (const { name, bits, path } of models) {
    const settings = { model: checkpoint, out: path, bits };
    await compressWithProgress(
      bits === 32 ? settings : { ...settings, method: 'gptq', calibration },
      texts.compressing(name),
    );
  }
  const reports = await compare(models, sets, rows, texts);
  const measured: EvalReport[] = [];
  for (const [index, report] of reports.entries()) {
    const { name, path } = models[index]!;
    measured.push({
      ...report,
      speed: await speedOf({ engine: 'onnxruntime', path }, texts.measuring(name)),
    });
  }
  const html = join(out, 'report.html');
  const json = join(out, 'report.json');
  await writeFileAtomic(html, htmlReport(measured, { lang: language }));
  await writeFileAtomic(json, `${JSON.stringify(measured, null, 2)}\n`);
  process.stdout.write(`\n${reportTable(measured, { lang: language })}\n${texts.report(html, json)}\n`);

  const last = models.at(-1)!.path;
  if (process.stdin.isTTY && process.stdout.isTTY && (await agrees(texts.offer)))
    await chat(last, language, texts);
  else process.stdout.write(`${texts.next(last)}\n`);
}

/** FP32 first, then the others beside it on the same rows. */
async function compare(
  models: readonly { readonly name: string; readonly path: string }[],
  files: readonly RowFile[],
  rows: number | undefined,
  texts: TourTexts,
): Promise<EvalReport[]> {
  const [reference, ...others] = models;
  const base = await openArtefact(reference!.path);
  try {
    const limit = rows ?? (await affordableRows(base, files, others.length, texts));
    const progress = new Progress(texts.evaluating);
    try {
      return await interruptible((signal) =>
        compareModels({
          base,
          baseName: reference!.name,
          models: others.map(({ name, path }) => ({ name, open: () => openArtefact(path) })),
          files,
          limit,
          replyTokens,
          signal,
          onProgress: ({ model, file, done, total }) => {
            const before = others.findIndex(({ name }) => name === model) * total;
            progress.update(before + done, total * others.length, `${model}, ${file}`);
          },
        }),
      );
    } finally {
      progress.finish();
    }
  } finally {
    await base.close();
  }
}

/** Rows of each set that `evaluationMs` allows, by timing one row of each on the base. */
async function affordableRows(
  engine: Engine,
  files: readonly RowFile[],
  others: number,
  texts: TourTexts,
): Promise<number> {
  const progress = new Progress(texts.calibrating);
  const start = performance.now();
  await interruptible((signal) => evaluate({ engine, files, limit: 1, replyTokens, signal }));
  progress.finish();
  const msPerRow = performance.now() - start;
  // The base is run beside each model again to compare distributions.
  const passes = 1 + 1.5 * others;
  return Math.max(rowBounds.least, Math.min(rowBounds.most, Math.floor(evaluationMs / (msPerRow * passes))));
}

async function agrees(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return !/^\s*n/i.test(await terminal.question(question));
  } finally {
    terminal.close();
  }
}

async function chat(folder: string, language: Language, texts: TourTexts): Promise<void> {
  const system = await readShop(join(checkout, 'packs'), language);
  const engine = await openArtefact(folder);
  try {
    if (system !== undefined) process.stdout.write(`\n${texts.shop(system)}\n`);
    await chatInteractively(engine, system === undefined ? {} : { system }, language);
  } finally {
    await engine.close();
  }
}
