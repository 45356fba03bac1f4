import type { DecoderConfig } from '@edgedesk/models';
import { tensor, type OrtBackend, type Tensor } from '@edgedesk/tensor';
import type { Batch } from '../data/batch.js';
import { buildTeacherGraph, headOf } from '../graph/teacher-graph.js';
import { batchFeeds, type BatchShape, BucketSessions, lossBucket } from './loss-buckets.js';

/** A model whose predictions are learned from; same tokenizer, any size. */
export interface TeacherOptions {
  readonly config: DecoderConfig;
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Of the loss: share * KL(teacher || model) + (1 - share) * cross-entropy. */
  readonly share: number;
}

/** Runs the teacher over the batches that its student trains on. Call `release` when done. */
export class Teacher {
  readonly #sessions: BucketSessions;
  readonly #weights: Readonly<Record<string, Tensor>>;

  constructor(
    backend: OrtBackend,
    private readonly options: TeacherOptions,
    private readonly shape: BatchShape,
  ) {
    const { config, weights } = options;
    this.#weights = Object.fromEntries(weights);
    this.#sessions = new BucketSessions(backend, (lossRows) =>
      buildTeacherGraph(config, { batch: shape.batch, seq: shape.sequence, lossRows }),
    );
  }

  /** What the training graph reads of the teacher for this batch. */
  async feeds(batch: Batch): Promise<Record<string, Tensor>> {
    const { config, weights } = this.options;
    const lossRows = lossBucket(batch, this.shape);
    const session = await this.#sessions.get(lossRows);
    const hidden = tensor.zeros([lossRows, config.hiddenSize]);
    await session.runInto({ ...this.#weights, ...batchFeeds(batch, this.shape) }, { hidden });
    return { teacher_hidden: hidden, teacher_head: weights.get(headOf(config))! };
  }

  release(): Promise<void> {
    return this.#sessions.release();
  }
}
