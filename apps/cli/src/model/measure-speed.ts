import type { SpeedReport } from '@edgedesk/eval';
import { measureSpeedInChild } from '@edgedesk/eval/node';
import { interruptible } from '../terminal/abort.js';
import { Progress } from '../terminal/progress.js';
import { readModelFacts, type Runnable } from './open-model.js';

export interface SpeedSettings {
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly repeats: number;
}

/** Speed and peak memory of a model, in a process that does nothing else, with progress on stderr. */
export async function measureModelSpeed(
  { engine, path }: Runnable,
  settings: SpeedSettings,
  label = 'Measuring speed',
): Promise<SpeedReport> {
  const progress = new Progress(label);
  try {
    return await interruptible((signal) =>
      measureSpeedInChild({
        ...settings,
        opener: {
          module: import.meta.resolve('@edgedesk/runtime/node'),
          name: engine === 'llama.cpp' ? 'openLlamaEngine' : 'openEngine',
          args: [path],
        },
        onProgress: (done, total) => progress.update(done, total),
        signal,
      }),
    );
  } finally {
    progress.finish();
  }
}

/** Prompt and reply of the speed figures beside an evaluation. */
const usual = { promptTokens: 256, newTokens: 64, repeats: 3 };

/** Speed figures to stand beside an evaluation; shorter texts for a model with a small context. */
export async function speedOf(model: Runnable, label?: string): Promise<SpeedReport> {
  const { contextLength } = await readModelFacts(model);
  const promptTokens = Math.min(usual.promptTokens, Math.floor(contextLength / 2));
  const newTokens = Math.min(usual.newTokens, Math.floor(contextLength / 4));
  return measureModelSpeed(model, { ...usual, promptTokens, newTokens }, label);
}
