import { Worker } from 'node:worker_threads';
import type { DecoderConfig } from '@edgedesk/models';
import type { Scores, Sequence, TokenModel } from '@edgedesk/runtime';
import { CheckpointError, RuntimeFailure } from '@edgedesk/tensor';
import {
  loadedId,
  type WorkerAnswer,
  type WorkerCall,
  type WorkerError,
  type WorkerStart,
} from './token-model-messages.js';

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

// A worker runs compiled code: from sources (tests) the built file is taken.
const script = new URL(
  import.meta.url.endsWith('.ts') ? '../../dist/node/token-model-worker.js' : './token-model-worker.js',
  import.meta.url,
);

/** The worker's JavaScript makes little garbage; the default of 48 MB would only be filled because it is there. */
const maxYoungGenerationSizeMb = 2;

/** A `TokenModel` in a worker thread, which stays responsive here while it computes. */
export class WorkerTokenModel implements TokenModel {
  private readonly pending = new Map<number, Pending>();
  private nextId = loadedId + 1;
  private nextSequence = 0;
  private failure: Error | null = null;

  private constructor(
    readonly config: DecoderConfig,
    private readonly worker: Worker,
  ) {
    worker.on('message', (answer: WorkerAnswer) => this.settle(answer));
    worker.on('error', (cause) => this.fail(crashed(cause)));
    worker.on('exit', () => this.fail(crashed()));
  }

  /** Starts the worker and waits until the model is loaded; CheckpointError when it cannot be. */
  static async start(start: WorkerStart): Promise<WorkerTokenModel> {
    const worker = new Worker(script, {
      workerData: start,
      // The parent's flags are about how the parent finds its code.
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb },
    });
    const model = new WorkerTokenModel(start.config, worker);
    try {
      await model.answerTo(loadedId);
    } catch (error) {
      await worker.terminate();
      throw error;
    }
    // An engine that was forgotten must not keep the program alive; a running call does.
    worker.unref();
    return model;
  }

  async begin(tokens: readonly number[], reserve: number): Promise<Sequence> {
    const sequence = this.nextSequence++;
    const cached = (await this.call({ do: 'begin', sequence, tokens, reserve })) as number;
    return this.sequence(sequence, cached);
  }

  async beginScoring(tokens: readonly number[], limit: number): Promise<Sequence> {
    const sequence = this.nextSequence++;
    const cached = (await this.call({ do: 'beginScoring', sequence, tokens, limit })) as number;
    return this.sequence(sequence, cached);
  }

  async release(): Promise<void> {
    await this.call({ do: 'release' });
    this.fail(crashed());
    await this.worker.terminate();
  }

  private sequence(sequence: number, cachedTokens: number): Sequence {
    return {
      cachedTokens,
      read: async (ids) => {
        await this.call({ do: 'read', sequence, ids });
      },
      generate: async (ids, decoding) =>
        (await this.call({ do: 'generate', sequence, ids, decoding })) as number[],
      score: async (ids, targets, withRows) =>
        (await this.call({ do: 'score', sequence, ids, targets, withRows })) as Scores,
      end: async () => {
        await this.call({ do: 'end', sequence }).catch((error: unknown) => {
          // After a crash or a release there is nothing left to hand back.
          if (error !== this.failure) throw error;
        });
      },
    };
  }

  private call(call: WorkerCall): Promise<unknown> {
    if (this.failure) return Promise.reject(this.failure);
    const id = this.nextId++;
    const answer = this.answerTo(id);
    this.worker.postMessage({ ...call, id });
    return answer;
  }

  private answerTo(id: number): Promise<unknown> {
    this.worker.ref();
    return new Promise((resolve, reject) => this.pending.set(id, { resolve, reject }));
  }

  private settle(answer: WorkerAnswer): void {
    const pending = this.pending.get(answer.id);
    this.pending.delete(answer.id);
    if (this.pending.size === 0) this.worker.unref();
    if ('error' in answer) pending?.reject(revive(answer.error));
    else pending?.resolve(answer.value);
  }

  private fail(error: Error): void {
    this.failure ??= error;
    for (const { reject } of this.pending.values()) reject(this.failure);
    this.pending.clear();
  }
}

function crashed(cause?: unknown): RuntimeFailure {
  const reason = cause instanceof Error ? `: ${cause.message}` : '';
  return new RuntimeFailure(`the model's thread has ended${reason}`, { fix: 'open the model again', cause });
}

function revive({ code, message, where, fix }: WorkerError): Error {
  if (code === null) return new Error(message);
  const details = { ...(where === undefined ? {} : { where }), ...(fix === undefined ? {} : { fix }) };
  return code === 'CHECKPOINT' ? new CheckpointError(message, details) : new RuntimeFailure(message, details);
}
