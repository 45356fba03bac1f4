import { basename, resolve } from 'node:path';
import { evaluate } from '@edgedesk/eval';
import type { EvalReport } from '@edgedesk/eval';
import { readRowFiles } from '@edgedesk/eval/node';
import { interruptible } from '../terminal/abort.js';
import { Progress } from '../terminal/progress.js';
import { speedOf } from './measure-speed.js';
import type { EngineName } from './engine-choice.js';
import { openRunnable, runnableOf } from './open-model.js';

export interface EvaluationSettings {
  readonly base: string | undefined;
  /** What runs both. */
  readonly engine: EngineName;
  readonly files: readonly string[];
  readonly limit: number | undefined;
  readonly replyTokens: number;
  readonly seed: number;
  /** Measure speed and memory too. */
  readonly speed: boolean;
}

/** Evaluates a MODEL argument, with progress on stderr. The data are read first: a bad row costs no time. */
export async function evaluateArtefact(model: string, settings: EvaluationSettings): Promise<EvalReport> {
  const files = await readRowFiles(settings.files);
  const runnable = await runnableOf(model, settings.engine);
  const runnableBase =
    settings.base === undefined ? undefined : await runnableOf(settings.base, settings.engine);
  const engine = await openRunnable(runnable);
  const base = runnableBase === undefined ? undefined : await openRunnable(runnableBase);
  let report: EvalReport;
  const progress = new Progress('Evaluating');
  try {
    const { limit, replyTokens, seed } = settings;
    report = await interruptible((signal) =>
      evaluate({
        engine,
        // Artefacts of one model carry its name; their folders tell them apart.
        name: basename(resolve(model)),
        base,
        files,
        limit,
        replyTokens,
        seed,
        onProgress: ({ file, done, total }) => progress.update(done, total, file),
        signal,
      }),
    );
  } finally {
    progress.finish();
    await engine.close();
    await base?.close();
  }
  if (!settings.speed) return report;
  return { ...report, speed: await speedOf(runnable) };
}
