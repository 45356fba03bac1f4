import type { DecoderConfig } from '@edgedesk/models';
import { isLocal, linearShape } from '@edgedesk/models';
import type { OrtBackend, Session, Tensor } from '@edgedesk/tensor';
import { CheckpointError, tensor } from '@edgedesk/tensor';
import type { Calibration } from '../calibration/calibration.js';
import { rowCount } from '../calibration/calibration.js';
import type { Part, PartShape } from './block-graph.js';
import { attends, blockConfig, blockWeights, partModel, wire } from './block-graph.js';
import { embeddingRows, firstStream } from './embedding-rows.js';
import type { Statistic } from './statistic.js';

/** Rows of the calibration run together: large enough for fast products, small beside their activations. */
const maxBatch = 4;
/** Outputs of gate and up are kept for all tokens up to this size; beyond it they are computed a second time. */
const maxKeptBytes = 512 * 2 ** 20;

/** Weights of a block by their names in layer 0, with the final norm where the head's input is wanted. */
export type BlockWeights = ReadonlyMap<string, Float32Array>;

/**
 * Runs decoder blocks part by part over all calibration tokens, first block to last. Holds the residual stream of all tokens
 * and what one part hands to the next; weights come with each call. `release` frees the sessions.
 */
export class BlockRunner {
  private readonly batches: number;
  private readonly shape: PartShape;
  private readonly segments: readonly BigInt64Array[];
  /** Residual stream, a `[tokens, hidden]` buffer a batch; `spare` takes the next one. */
  private readonly residual: Float32Array[];
  private spare: Float32Array;
  /** Attended and gated values, `[tokens, width]` a batch. */
  private readonly between: readonly Float32Array[];
  private readonly keepsGated: boolean;
  private readonly shapes: ReadonlyMap<string, readonly number[]>;
  private readonly sessions = new Map<string, Session>();
  /** The block that the residual stream goes into. */
  private layer = 0;

  /** `embedding`: `[vocab, hidden]`, read here and not kept. */
  constructor(
    private readonly config: DecoderConfig,
    calibration: Calibration,
    embedding: Float32Array,
    private readonly backend: OrtBackend,
    private readonly threads: number,
    private readonly signal: AbortSignal | undefined,
  ) {
    const { hiddenSize, intermediateSize } = config;
    const rows = rowCount(calibration);
    const batch = largestDivisor(rows, maxBatch);
    const tokens = batch * calibration.seq;
    this.shape = { batch, seq: calibration.seq };
    this.batches = rows / batch;
    this.keepsGated = calibration.ids.length * intermediateSize * 4 <= maxKeptBytes;
    const attendedSize = linearShape(config, 'o')[1];
    const width = this.keepsGated ? Math.max(attendedSize, intermediateSize) : attendedSize;
    this.shapes = blockWeights(config).set('model.norm.weight', [hiddenSize]);
    this.spare = new Float32Array(tokens * hiddenSize);
    const each = <T>(make: (start: number) => T): T[] =>
      Array.from({ length: this.batches }, (_, i) => make(i * tokens));
    this.between = each(() => new Float32Array(tokens * width));
    this.segments = each((start) =>
      BigInt64Array.from(calibration.segments.subarray(start, start + tokens), BigInt),
    );
    this.residual = each((start) => {
      const ids = calibration.ids.subarray(start, start + tokens);
      return firstStream(config, embeddingRows(ids, embedding, hiddenSize));
    });
  }

  get tokens(): number {
    return this.batches * this.shape.batch * this.shape.seq;
  }

  /**
   * Runs `part` over all tokens and, when asked, returns `statistic` of the input that the next linear layers read.
   * CheckpointError when that is not finite; `where` names the block.
   */
  async run<S>(
    part: Part,
    weights: BlockWeights,
    where: string,
    statistic: Statistic<S> | null,
  ): Promise<S | null> {
    const session = await this.session(part, statistic);
    const columns = this.inputColumns(part);
    const size = statistic?.size(columns) ?? 0;
    const sum = new Float64Array(size);
    const partial = new Float32Array(size);
    const wanted = new Set(session.inputNames);
    const weightFeeds = Object.fromEntries(
      [...weights]
        .filter(([name]) => wanted.has(name))
        .map(([name, data]) => [name, tensor.f32(data, this.shapes.get(name)!)]),
    );
    for (let batch = 0; batch < this.batches; batch++) {
      this.signal?.throwIfAborted();
      const outputs: Record<string, Tensor> = statistic
        ? { [wire.statistic]: tensor.f32(partial, [size]) }
        : {};
      const result = this.resultOf(part, batch);
      if (result) outputs[wire.result] = result;
      await session.runInto({ ...weightFeeds, ...this.feeds(wanted, batch) }, outputs);
      if (result?.data === this.spare) this.takeSpare(batch);
      for (let i = 0; i < size; i++) sum[i]! += partial[i]!;
    }
    if (endsBlock(part)) this.layer++;
    if (statistic === null) return null;
    if (!sum.every(Number.isFinite)) {
      throw new CheckpointError('the activations on the calibration text are not finite', {
        where,
        fix: 'use a checkpoint from before training diverged',
      });
    }
    return statistic.finish(sum, columns, this.tokens);
  }

  /** The residual stream, a `[tokens, hidden]` buffer a batch: views, until the next run. */
  get stream(): readonly Float32Array[] {
    return this.residual;
  }

  /** Goes back to a copy of the stream before block `layer`; takes it over. */
  restore(stream: readonly Float32Array[], layer: number): void {
    this.layer = layer;
    stream.forEach((hidden, batch) => (this.residual[batch] = hidden));
  }

  /** Rows and tokens of a batch, and each one's segments. */
  get batchShape(): PartShape & { readonly segments: readonly BigInt64Array[] } {
    return { ...this.shape, segments: this.segments };
  }

  /** Runs the rest of a block after `mlp`, whose result may or may not have been kept. */
  finishBlock(weights: BlockWeights, where: string): Promise<unknown> {
    return this.run(this.keepsGated ? 'output' : 'mlpOutput', weights, where, null);
  }

  /** Runs a whole block whose linear layers are solved, by the same graphs. */
  async replay(weights: BlockWeights, where: string): Promise<void> {
    await this.run('attention', weights, where, null);
    await this.run('mlpInput', weights, where, null);
    if (this.keepsGated) await this.run('mlp', weights, where, null);
    await this.finishBlock(weights, where);
  }

  async release(): Promise<void> {
    const sessions = [...this.sessions.values()];
    this.sessions.clear();
    for (const session of sessions) await session.release();
  }

  private feeds(wanted: ReadonlySet<string>, batch: number): Record<string, Tensor> {
    const { batch: rows, seq } = this.shape;
    const feeds: Record<string, Tensor> = {};
    const residual = this.residualTensor(this.residual[batch]!);
    if (wanted.has(wire.hidden)) feeds[wire.hidden] = residual;
    if (wanted.has(wire.middle)) feeds[wire.middle] = residual;
    if (wanted.has(wire.segments)) feeds[wire.segments] = tensor.i64(this.segments[batch]!, [rows, seq]);
    if (wanted.has(wire.attended))
      feeds[wire.attended] = this.betweenTensor(batch, linearShape(this.config, 'o')[1]);
    if (wanted.has(wire.gated)) feeds[wire.gated] = this.betweenTensor(batch, this.config.intermediateSize);
    return feeds;
  }

  /** Where the part's result goes; null when it is not needed. */
  private resultOf(part: Part, batch: number): Tensor | null {
    switch (part) {
      case 'attention':
        return this.betweenTensor(batch, linearShape(this.config, 'o')[1]);
      case 'mlp':
        return this.keepsGated ? this.betweenTensor(batch, this.config.intermediateSize) : null;
      case 'mlpInput':
      case 'output':
      case 'mlpOutput':
      case 'block':
        return this.residualTensor(this.spare);
      case 'attentionInput':
      case 'headInput':
        return null;
    }
  }

  /** The residual stream of a batch was written into the spare buffer; its old one is free now. */
  private takeSpare(batch: number): void {
    [this.residual[batch], this.spare] = [this.spare, this.residual[batch]!];
  }

  private residualTensor(data: Float32Array): Tensor {
    return tensor.f32(data, [this.shape.batch * this.shape.seq, this.config.hiddenSize]);
  }

  private betweenTensor(batch: number, width: number): Tensor {
    const tokens = this.shape.batch * this.shape.seq;
    return tensor.f32(this.between[batch]!.subarray(0, tokens * width), [tokens, width]);
  }

  private inputColumns(part: Part): number {
    if (part === 'attention') return linearShape(this.config, 'o')[1];
    return part === 'mlp' ? this.config.intermediateSize : this.config.hiddenSize;
  }

  private async session(part: Part, statistic: Statistic<unknown> | null): Promise<Session> {
    const config = blockConfig(this.config, this.layer);
    const kind = attends(part) && isLocal(config, 0) ? 'local' : '';
    const key = `${part} ${kind} ${statistic === null ? 'alone' : 'observed'}`;
    const known = this.sessions.get(key);
    if (known) return known;
    const model = partModel(config, part, this.shape, statistic, this.resultOf(part, 0) !== null);
    const session = await this.backend.createSession(model, { threads: this.threads, spin: false });
    this.sessions.set(key, session);
    return session;
  }
}

const endsBlock = (part: Part): boolean => part === 'output' || part === 'mlpOutput' || part === 'block';

function largestDivisor(n: number, limit: number): number {
  let divisor = Math.min(n, limit);
  while (n % divisor !== 0) divisor--;
  return divisor;
}
