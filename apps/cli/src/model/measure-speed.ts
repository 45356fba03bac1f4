import type { SpeedReport } from '@edgedesk/eval';
import { measureSpeedInChild } from '@edgedesk/eval/node';
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
