import { parseHubModel } from '@edgedesk/models';
import { cachedModel, pullModel } from '@edgedesk/models/node';
import type { PulledModel, PullModelOptions } from '@edgedesk/models/node';
import { interruptible } from '../terminal/abort.js';
import { formatBytes } from '../terminal/format.js';
import { Progress } from '../terminal/progress.js';

/** Pulls a model with progress on stderr. Ctrl-C keeps what has arrived. */
export async function pullWithProgress(name: string, options: PullModelOptions): Promise<PulledModel> {
  const model = parseHubModel(name);
  const progress = new Progress(`Pulling ${model.repo}`);
  try {
    const pulled = await interruptible((signal) =>
      pullModel(model, {
        ...options,
        signal,
        onProgress: ({ doneBytes, totalBytes, secondsLeft }) =>
          progress.update(
            doneBytes,
            totalBytes,
            `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`,
            secondsLeft,
          ),
      }),
    );
    const { downloadedBytes } = pulled;
    progress.finish(
      downloadedBytes > 0 ? `${formatBytes(downloadedBytes)} downloaded` : 'nothing was missing',
    );
    return pulled;
  } catch (error) {
    progress.finish();
    throw error;
  }
}

/**
 * The path of an `hf:` model. What the cache has whole is used without asking the hub: a command gives the same result
 * every time, on a machine without network too, until `edgedesk pull` brings a newer one.
 */
export async function cachedOrPulled(name: string): Promise<string> {
  const cached = await cachedModel(parseHubModel(name));
  return (cached ?? (await pullWithProgress(name, {}))).path;
}
