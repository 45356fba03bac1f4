import type { ModelSensitivityOptions } from '@edgedesk/compress/node';
import { modelSensitivity } from '@edgedesk/compress/node';
import { RecipeError } from '@edgedesk/tensor';
import { interruptible } from '../terminal/abort.js';
import { Progress } from '../terminal/progress.js';
import { locateModel } from './locate-model.js';

/** Measures a checkpoint's sensitivity with progress on stderr. */
export async function measureWithProgress(
  model: string,
  options: Omit<ModelSensitivityOptions, 'source' | 'signal' | 'onSweep'>,
): ReturnType<typeof modelSensitivity> {
  const { kind, path } = await locateModel(model);
  if (kind === 'artefact') {
    throw new RecipeError('an artefact is quantized already', {
      where: model,
      fix: 'give the checkpoint that it was made from',
    });
  }
  const progress = new Progress(`Measuring ${model}`);
  try {
    return await interruptible((signal) =>
      modelSensitivity({
        ...options,
        source: path,
        signal,
        onSweep: ({ done, total, roles, secondsLeft }) =>
          progress.update(
            done,
            total,
            `block ${done + 1} of ${total}: ${roles.join(', ')}`,
            secondsLeft ?? undefined,
          ),
      }),
    );
  } finally {
    progress.finish();
  }
}
