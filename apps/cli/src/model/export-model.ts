import { exportModel } from '@edgedesk/compress/node';
import type { ExportModelOptions, ExportReport } from '@edgedesk/compress/node';
import { interruptible } from '../terminal/abort.js';
import { formatBytes } from '../terminal/format.js';
import { Progress } from '../terminal/progress.js';

/** Exports a model with progress on stderr under `label`. Ctrl-C leaves nothing behind. */
export async function exportWithProgress(
  options: Omit<ExportModelOptions, 'signal' | 'onProgress'>,
  label: string,
): Promise<ExportReport> {
  const progress = new Progress(label);
  try {
    const report = await interruptible((signal) =>
      exportModel({
        ...options,
        signal,
        onProgress: ({ done, total, weight }) => progress.update(done, total, weight),
      }),
    );
    progress.finish(`${formatBytes(report.sizeBytes)}, ${report.bitsPerWeight.toFixed(2)} bits a weight`);
    return report;
  } catch (error) {
    progress.finish();
    throw error;
  }
}
