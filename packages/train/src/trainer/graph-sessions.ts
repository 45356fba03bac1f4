import type { DecoderConfig } from '@edgedesk/models';
import { tensor, type OrtBackend, type Tensor } from '@edgedesk/tensor';
import { buildTrainingGraph, type LoraOptions, type TeacherShape } from '../graph/training-graph.js';
import type { Batch } from '../data/batch.js';
import type { FakeQuantization } from '../qat/fake-quantization.js';
import { batchFeeds, type BatchShape, BucketSessions, lossBucket } from './loss-buckets.js';

export interface GraphShape extends BatchShape {
  readonly config: DecoderConfig;
  readonly lora?: LoraOptions | undefined;
  readonly quantize?: FakeQuantization | undefined;
  /** Only in training: evaluation is cross-entropy. */
  readonly teacher?: TeacherShape | undefined;
}

/** The training or evaluation graph for batches of one shape. */
export class GraphSessions {
  readonly #sessions: BucketSessions;

  constructor(
    backend: OrtBackend,
    private readonly shape: GraphShape,
    mode: 'train' | 'evaluate',
  ) {
    const { config, batch, sequence, lora, quantize, teacher } = shape;
    this.#sessions = new BucketSessions(
      backend,
      (lossRows) =>
        buildTrainingGraph(config, { batch, seq: sequence, lossRows, mode, lora, quantize, teacher }).model,
    );
  }

  /**
   * Sum over the batch's loss tokens of `scale` * their weight * loss. `weights`: everything that the graph reads beside
   * the batch. In `train` mode the gradients of all parameters are written into `gradients`, whose names are those of the graph's outputs.
   */
  async run(
    batch: Batch,
    scale: number,
    weights: Readonly<Record<string, Tensor>>,
    gradients: Readonly<Record<string, Tensor>> = {},
  ): Promise<number> {
    const lossRows = lossBucket(batch, this.shape);
    const session = await this.#sessions.get(lossRows);
    const targets = new BigInt64Array(lossRows);
    batch.targets.forEach((target, i) => (targets[i] = BigInt(target)));
    const lossWeights = new Float32Array(lossRows);
    batch.lossWeights.forEach((weight, i) => (lossWeights[i] = scale * weight));
    const loss = tensor.f32(new Float32Array(1), []);
    await session.runInto(
      {
        ...weights,
        ...batchFeeds(batch, this.shape),
        targets: tensor.i64(targets, [lossRows]),
        loss_weights: tensor.f32(lossWeights, [lossRows, 1]),
      },
      { loss, ...gradients },
    );
    return (loss.data as Float32Array)[0]!;
  }

  release(): Promise<void> {
    return this.#sessions.release();
  }
}
