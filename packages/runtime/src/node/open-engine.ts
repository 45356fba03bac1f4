import { assembleEngine, type Engine, type EngineOptions } from '@edgedesk/runtime';
import { openFolder } from '@edgedesk/tensor/node';
import { WorkerTokenModel } from './worker-token-model.js';

/**
 * Opens the artefact in `folder`. The model computes in a worker thread, so the event loop stays free while it does.
 * Errors: CheckpointError for an artefact that cannot be used. Close the engine when done.
 */
export async function openEngine(folder: string, options: EngineOptions = {}): Promise<Engine> {
  const { threads, prefixCacheBytes, profilePrefix } = options;
  return assembleEngine(openFolder(folder), options, ({ model, config }) =>
    WorkerTokenModel.start({
      folder,
      model,
      config,
      options: { threads, prefixCacheBytes, profilePrefix },
    }),
  );
}
