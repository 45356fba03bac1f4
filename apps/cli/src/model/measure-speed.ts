import type { SpeedReport } from '@edgedesk/eval';
import { measureSpeedInChild } from '@edgedesk/eval/node';
import { readManifest } from '@edgedesk/models';
import { openFolder } from '@edgedesk/tensor/node';
import { interruptible } from '../terminal/abort.js';
import { Progress } from '../terminal/progress.js';

export interface SpeedSettings {
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly repeats: number;
}

/** Speed and peak memory of an artefact, in a process that does nothing else, with progress on stderr. */
export async function measureArtefactSpeed(
  folder: string,
  settings: SpeedSettings,
  label = 'Measuring speed',
): Promise<SpeedReport> {
  const progress = new Progress(label);
  try {
    return await interruptible((signal) =>
      measureSpeedInChild({
        ...settings,
        opener: { module: import.meta.resolve('@edgedesk/runtime/node'), name: 'openEngine', args: [folder] },
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
export async function speedOf(folder: string, label?: string): Promise<SpeedReport> {
  const { config } = await readManifest(openFolder(folder));
  const promptTokens = Math.min(usual.promptTokens, Math.floor(config.contextLength / 2));
  const newTokens = Math.min(usual.newTokens, Math.floor(config.contextLength / 4));
  return measureArtefactSpeed(folder, { ...usual, promptTokens, newTokens }, label);
}
