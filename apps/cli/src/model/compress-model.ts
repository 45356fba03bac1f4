import { compress } from '@edgedesk/compress/node';
import type { BitsOptions, BudgetOptions, RecipeStep } from '@edgedesk/compress';
import type { CalibrationFiles } from '@edgedesk/compress/node';
import type { Manifest } from '@edgedesk/models';
import { interruptible } from '../terminal/abort.js';
import { formatBytes } from '../terminal/format.js';
import { Progress } from '../terminal/progress.js';

export type CompressSettings = (BitsOptions | BudgetOptions | { readonly recipe: readonly RecipeStep[] }) & {
  /** Checkpoint folder or GGUF file. */
  readonly model: string;
  readonly out: string;
  readonly calibration?: CalibrationFiles;
};

/**
 * Compresses a checkpoint with progress on stderr under `label`. Ctrl-C leaves nothing behind but the blocks that
 * calibration has solved, with which the same command goes on.
 */
export async function compressWithProgress(settings: CompressSettings, label: string): Promise<Manifest> {
  const { model, out, ...bits } = settings;
  let progress = new Progress(label);
  let calibrated = false;
  try {
    const manifest = await interruptible((signal) =>
      compress({
        ...bits,
        source: model,
        outDir: out,
        signal,
        onProgress: ({ done, total, weight }) => {
          if (calibrated) {
            // Writing goes at another speed, so its time left is reckoned from here.
            calibrated = false;
            progress.finish();
            progress = new Progress(label);
          }
          progress.update(done, total, weight);
        },
        onSweep: ({ phase, done, total, roles, secondsLeft }) => {
          calibrated = true;
          const what =
            phase === 'replay' ? 'taken over from before' : [phase, roles.join(', ')].join(' ').trim();
          progress.update(done, total, `block ${done + 1} of ${total}: ${what}`, secondsLeft ?? undefined);
        },
      }),
    );
    const { sizeBytes, bitsPerWeight, informationBitsPerWeight } = manifest;
    const used =
      informationBitsPerWeight === undefined
        ? ''
        : ` (${informationBitsPerWeight.toFixed(2)} of information)`;
    progress.finish(`${formatBytes(sizeBytes)}, ${bitsPerWeight.toFixed(2)} bits a weight${used}`);
    return manifest;
  } catch (error) {
    progress.finish();
    throw error;
  }
}
