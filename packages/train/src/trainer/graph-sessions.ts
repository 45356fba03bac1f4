import type { DecoderConfig } from '@edgedesk/models';
import { tensor, type OrtBackend, type Session, type Tensor } from '@edgedesk/tensor';
import { buildTrainingGraph, type LoraOptions } from '../graph/training-graph.js';
import type { Batch } from '../data/batch.js';

/** Loss rows are rounded up to a multiple of this share of a batch: few sessions, little wasted head arithmetic. */
const buckets = 8;
/** Sessions kept; each holds the activations of a batch. */
const maxSessions = 3;

export interface GraphShape {
  readonly config: DecoderConfig;
  /** Rows of a batch. */
  readonly batch: number;
  /** Positions of a row. */
  readonly sequence: number;
  readonly lora?: LoraOptions | undefined;
}

/** Sessions of the training or evaluation graph for batches of one shape, made when a loss bucket is first met. */
export class GraphSessions {
  readonly #sessions = new Map<number, Session>();

  constructor(
    private readonly backend: OrtBackend,
    private readonly shape: GraphShape,
    private readonly mode: 'train' | 'evaluate',
  ) {}

  /**
   * Sum over the batch's loss tokens of `scale` * cross-entropy. In `train` mode the gradients of all parameters are
   * written into `gradients`, whose names are those of the graph's outputs.
   */
  async run(
    batch: Batch,
    scale: number,
    weights: Readonly<Record<string, Tensor>>,
    gradients: Readonly<Record<string, Tensor>> = {},
  ): Promise<number> {
    const { batch: rows, sequence } = this.shape;
    const unit = Math.max(1, Math.ceil((rows * sequence) / buckets));
    const lossRows = Math.max(1, Math.ceil(batch.lossRows.length / unit)) * unit;
    const session = await this.#session(lossRows);

    const rowIndices = new BigInt64Array(lossRows);
    const targets = new BigInt64Array(lossRows);
    const lossWeights = new Float32Array(lossRows);
    batch.lossRows.forEach((row, i) => {
      rowIndices[i] = BigInt(row);
      targets[i] = BigInt(batch.targets[i]!);
      lossWeights[i] = scale;
    });
    const loss = tensor.f32(new Float32Array(1), []);
    await session.runInto(
      {
        ...weights,
        token_ids: tensor.i64(batch.tokenIds, [rows * sequence]),
        segment_ids: tensor.i64(batch.segmentIds, [rows, sequence]),
        loss_rows: tensor.i64(rowIndices, [lossRows]),
        targets: tensor.i64(targets, [lossRows]),
        loss_weights: tensor.f32(lossWeights, [lossRows, 1]),
      },
      { loss, ...gradients },
    );
    return (loss.data as Float32Array)[0]!;
  }

  async release(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const session of sessions) await session.release();
  }

  async #session(lossRows: number): Promise<Session> {
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
    const { config, batch, sequence, lora } = this.shape;
    const { model } = buildTrainingGraph(config, {
      batch,
      seq: sequence,
      lossRows,
      mode: this.mode,
      ...(lora === undefined ? {} : { lora }),
    });
    const session = await this.backend.createSession(model);
    this.#sessions.set(lossRows, session);
    return session;
  }
}
