import { tensor, type OrtBackend, type Session, type Tensor } from '@edgedesk/tensor';
import type { Batch } from '../data/batch.js';

/** Loss rows are rounded up to a multiple of this share of a batch: few sessions, little wasted head arithmetic. */
const buckets = 8;
/** Sessions kept; each holds the activations of a batch. */
const maxSessions = 3;

export interface BatchShape {
  /** Rows of a batch. */
  readonly batch: number;
  /** Positions of a row. */
  readonly sequence: number;
}

/** Loss rows of the graph that runs `batch`. */
export function lossBucket({ lossRows }: Batch, { batch, sequence }: BatchShape): number {
  const unit = Math.max(1, Math.ceil((batch * sequence) / buckets));
  return Math.max(1, Math.ceil(lossRows.length / unit)) * unit;
}

/** What every graph reads of a batch; unused loss rows point at position 0. */
export function batchFeeds(batch: Batch, shape: BatchShape): Record<string, Tensor> {
  const rows = new BigInt64Array(lossBucket(batch, shape));
  batch.lossRows.forEach((row, i) => (rows[i] = BigInt(row)));
  return {
    token_ids: tensor.i64(batch.tokenIds, [shape.batch * shape.sequence]),
    segment_ids: tensor.i64(batch.segmentIds, [shape.batch, shape.sequence]),
    loss_rows: tensor.i64(rows, [rows.length]),
  };
}

/** Sessions of one graph for batches of one shape, made when a loss bucket is first met. */
export class BucketSessions {
  readonly #sessions = new Map<number, Session>();

  constructor(
    private readonly backend: OrtBackend,
    private readonly modelFor: (lossRows: number) => Uint8Array,
  ) {}

  async get(lossRows: number): Promise<Session> {
    const held = this.#sessions.get(lossRows);
    if (held !== undefined) {
      // Map order is age of use: the first is the one to let go.
      this.#sessions.delete(lossRows);
      this.#sessions.set(lossRows, held);
      return held;
    }
    if (this.#sessions.size >= maxSessions) {
      const [oldest, session] = this.#sessions.entries().next().value!;
      this.#sessions.delete(oldest);
      await session.release();
    }
    const session = await this.backend.createSession(this.modelFor(lossRows));
    this.#sessions.set(lossRows, session);
    return session;
  }

  async release(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const session of sessions) await session.release();
  }
}
