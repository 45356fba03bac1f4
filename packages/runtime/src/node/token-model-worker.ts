import { dirname, join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { EdgeDeskError } from '@edgedesk/tensor';
import { nodeBackend, openFolder } from '@edgedesk/tensor/node';
// Not through the package's index: this thread needs no tokenizer, and its modules would cost 20 MB here.
import { loadTokenModel } from '../model/ort-token-model.js';
import type { Sequence, TokenModel } from '../model/token-model.js';
import {
  loadedId,
  type WorkerAnswer,
  type WorkerCall,
  type WorkerError,
  type WorkerRequest,
  type WorkerStart,
} from './token-model-messages.js';

// onnxruntime-node computes on the calling thread, so the model has a thread of its own.
const { folder, model, config, options } = workerData as WorkerStart;
const sequences = new Map<number, Sequence>();

void loadTokenModel(
  {
    store: openFolder(folder),
    backend: nodeBackend(),
    model,
    config,
    externalData: dirname(join(folder, model)),
  },
  options,
).then(
  (loaded) => {
    // One at a time: sessions are not asked to run twice at once, and answers keep the order of the calls.
    let last: Promise<void> = Promise.resolve();
    parentPort!.on('message', (request: WorkerRequest) => {
      last = last.then(() => answer(loaded, request));
    });
    send({ id: loadedId, value: null });
  },
  (error: unknown) => send({ id: loadedId, error: plain(error) }),
);

async function answer(loaded: TokenModel, request: WorkerRequest): Promise<void> {
  try {
    const value = await perform(loaded, request);
    const buffers =
      value !== null && typeof value === 'object' && 'fullRows' in value
        ? [value.logProbs.buffer, value.fullRows.buffer]
        : [];
    parentPort!.postMessage({ id: request.id, value } satisfies WorkerAnswer, buffers as ArrayBuffer[]);
  } catch (error) {
    send({ id: request.id, error: plain(error) });
  }
  if (request.do === 'release') parentPort!.close();
}

async function perform(loaded: TokenModel, call: WorkerCall) {
  switch (call.do) {
    case 'begin':
      return open(call.sequence, await loaded.begin(call.tokens, call.reserve));
    case 'beginScoring':
      return open(call.sequence, await loaded.beginScoring(call.tokens, call.limit));
    case 'read':
      await sequences.get(call.sequence)!.read(call.ids);
      return null;
    case 'generate':
      return sequences.get(call.sequence)!.generate(call.ids, call.decoding);
    case 'score':
      return sequences.get(call.sequence)!.score(call.ids, call.targets, call.withRows);
    case 'end':
      await sequences.get(call.sequence)!.end();
      sequences.delete(call.sequence);
      return null;
    case 'release':
      sequences.clear();
      await loaded.release();
      return null;
  }
}

function open(id: number, sequence: Sequence): number {
  sequences.set(id, sequence);
  return sequence.cachedTokens;
}

function send(message: WorkerAnswer): void {
  parentPort!.postMessage(message);
}

function plain(error: unknown): WorkerError {
  if (EdgeDeskError.isInstance(error)) {
    const { code, message, where, fix } = error;
    return { code, message, where, fix };
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: null, message, where: undefined, fix: undefined };
}
