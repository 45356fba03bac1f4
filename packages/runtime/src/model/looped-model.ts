import type { DecoderConfig } from '@edgedesk/models';
import { elementCount, type Session, type Tensor, tensor } from '@edgedesk/tensor';
import { loopName } from '../graph/index.js';
import type { KvRows } from '../kv/kv-rows.js';
import { checkSampling, samplingFeeds } from '../sampling/sampling.js';
import type { Decoding, Scores } from './token-model.js';

/** Rows whose logits are wanted, and what for. */
interface Wanted {
  readonly rows: Tensor;
  readonly targets: Tensor;
  readonly scoring: boolean;
  readonly withRows: boolean;
}

const lastRow: Wanted = {
  rows: tensor.i64([-1], [1]),
  targets: tensor.i64([0], [1]),
  scoring: false,
  withRows: false,
};

const onePass: Decoding = {
  sampling: checkSampling({ seed: 0 }),
  endIds: [],
  uniforms: new Float32Array(1),
};

/** Calls the looped session and appends to the caller's rows what it has computed. */
export class LoopedModel {
  private scratch = new Float32Array(0);

  constructor(
    readonly config: DecoderConfig,
    private readonly session: Session,
  ) {}

  async read(rows: KvRows, ids: readonly number[]): Promise<void> {
    await this.one(rows, ids, onePass);
  }

  async generate(rows: KvRows, ids: readonly number[], decoding: Decoding): Promise<number[]> {
    if (decoding.uniforms.length === 1) return [await this.one(rows, ids, decoding)];
    const feeds = this.feeds(rows, ids, decoding, lastRow);
    const out = await this.session.run(feeds, [loopName.tokens, loopName.added]);
    const tokens = Array.from(out[loopName.tokens]!.data as BigInt64Array, Number);
    rows.append([...ids, ...tokens.slice(0, -1)], out[loopName.added]!.data as Float32Array);
    return tokens;
  }

  async score(
    rows: KvRows,
    ids: readonly number[],
    targets: readonly number[],
    withRows: boolean,
  ): Promise<Scores> {
    const first = ids.length - targets.length;
    const places = targets.map((_, i) => first + i);
    const wanted = {
      rows: tensor.i64(places, [places.length]),
      targets: tensor.i64(targets, [targets.length]),
      scoring: true,
      withRows,
    };
    const names = [
      loopName.added,
      loopName.logProbs,
      loopName.top1,
      ...(withRows ? [loopName.fullRows] : []),
    ];
    const out = await this.session.run(this.feeds(rows, ids, onePass, wanted), names);
    rows.append(ids, out[loopName.added]!.data as Float32Array);
    return {
      logProbs: out[loopName.logProbs]!.data as Float32Array,
      top1: Int32Array.from(out[loopName.top1]!.data as BigInt64Array, Number),
      fullRows: (out[loopName.fullRows]?.data as Float32Array | undefined) ?? new Float32Array(0),
    };
  }

  release(): Promise<void> {
    return this.session.release();
  }

  /** One token. The number of added rows is known beforehand, so they go to memory that is used again and again. */
  private async one(rows: KvRows, ids: readonly number[], decoding: Decoding): Promise<number> {
    const { layerCount, kvHeadCount, headDim } = this.config;
    const shape = [2 * layerCount * ids.length, kvHeadCount, headDim];
    const size = elementCount(shape);
    if (this.scratch.length < size) this.scratch = new Float32Array(size);
    const token = tensor.i64([0], [1]);
    const added = this.scratch.subarray(0, size);
    await this.session.runInto(this.feeds(rows, ids, decoding, lastRow), {
      [loopName.tokens]: token,
      [loopName.added]: { dtype: 'f32', shape, data: added },
    });
    rows.append(ids, added);
    return Number(token.data[0]);
  }

  private feeds(
    rows: KvRows,
    ids: readonly number[],
    { sampling, endIds, uniforms }: Decoding,
    wanted: Wanted,
  ): Record<string, Tensor> {
    const flag = (x: boolean): Tensor => ({ dtype: 'bool', shape: [], data: Uint8Array.of(Number(x)) });
    const context = sampling.repetitionPenalty === 1 ? [] : [...rows.tokens, ...ids];
    return {
      [loopName.ids]: tensor.i64(ids, [1, ids.length]),
      [loopName.pastLength]: tensor.i64([rows.length], [1]),
      [loopName.maxTokens]: tensor.i64([uniforms.length], []),
      [loopName.endIds]: tensor.i64(endIds, [endIds.length]),
      [loopName.rows]: wanted.rows,
      [loopName.targets]: wanted.targets,
      [loopName.scoring]: flag(wanted.scoring),
      [loopName.withRows]: flag(wanted.withRows),
      ...samplingFeeds(sampling, context, uniforms, this.config.vocabSize),
      ...rows.feeds(),
    };
  }
}
