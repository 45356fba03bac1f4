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

const firstRows = (count: number): Wanted => ({
  rows: tensor.i64(
    Array.from({ length: count }, (_, i) => i),
    [count],
  ),
  targets: tensor.i64(new BigInt64Array(count), [count]),
  scoring: false,
  withRows: false,
});

const onePass: Decoding = {
  sampling: checkSampling({ seed: 0 }),
  endIds: [],
  uniforms: new Float32Array(1),
  draft: [],
};

/** Calls the looped session and appends to the caller's rows what it has computed. */
export class LoopedModel {
  private scratch = new Float32Array(0);

  constructor(
    readonly config: DecoderConfig,
    private readonly session: Session,
  ) {}

  /** Rows before `border` are the past of this call, here and below; see `putLoopAround`. */
  async read(rows: KvRows, border: number, ids: readonly number[]): Promise<void> {
    const { added } = await this.pass(rows, border, ids, onePass, lastRow);
    rows.append(ids, added);
  }

  async generate(
    rows: KvRows,
    border: number,
    ids: readonly number[],
    decoding: Decoding,
  ): Promise<number[]> {
    const { uniforms, draft, endIds } = decoding;
    if (draft.length > 0) {
      const { tokens, added } = await this.pass(rows, border, ids, decoding, firstRows(draft.length + 1));
      const kept = agreed(tokens, draft, endIds);
      rows.append([...ids, ...kept.slice(0, -1)], added, tokens.length);
      return kept;
    }
    if (uniforms.length === 1) {
      const { tokens, added } = await this.pass(rows, border, ids, decoding, lastRow);
      rows.append(ids, added);
      return tokens;
    }
    const feeds = this.feeds(rows, border, ids, decoding, lastRow);
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
    const out = await this.session.run(this.feeds(rows, rows.length, ids, onePass, wanted), names);
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

  /**
   * One iteration over `ids` and the draft. The number of added rows is known beforehand, so they go to memory that is
   * used again and again.
   */
  private async pass(
    rows: KvRows,
    border: number,
    ids: readonly number[],
    decoding: Decoding,
    wanted: Wanted,
  ): Promise<{ tokens: number[]; added: Float32Array }> {
    const { layerCount, kvHeadCount, headDim } = this.config;
    const shape = [2 * layerCount * (ids.length + decoding.draft.length), kvHeadCount, headDim];
    const size = elementCount(shape);
    if (this.scratch.length < size) this.scratch = new Float32Array(size);
    const count = wanted.rows.shape[0]!;
    const tokens = new BigInt64Array(count);
    const added = this.scratch.subarray(0, size);
    await this.session.runInto(this.feeds(rows, border, ids, decoding, wanted), {
      [loopName.tokens]: tensor.i64(tokens, [count]),
      [loopName.added]: { dtype: 'f32', shape, data: added },
    });
    return { tokens: Array.from(tokens, Number), added };
  }

  private feeds(
    rows: KvRows,
    border: number,
    ids: readonly number[],
    { sampling, endIds, uniforms, draft }: Decoding,
    wanted: Wanted,
  ): Record<string, Tensor> {
    const flag = (x: boolean): Tensor => ({ dtype: 'bool', shape: [], data: Uint8Array.of(Number(x)) });
    const context = sampling.repetitionPenalty === 1 ? [] : [...rows.tokens, ...ids];
    return {
      [loopName.ids]: tensor.i64([...ids, ...draft], [1, ids.length + draft.length]),
      [loopName.pastLength]: tensor.i64([border], [1]),
      [loopName.maxTokens]: tensor.i64([draft.length > 0 ? 1 : uniforms.length], []),
      [loopName.endIds]: tensor.i64(endIds, [endIds.length]),
      [loopName.rows]: wanted.rows,
      [loopName.targets]: wanted.targets,
      [loopName.scoring]: flag(wanted.scoring),
      [loopName.withRows]: flag(wanted.withRows),
      ...samplingFeeds(sampling, context, uniforms, this.config.vocabSize),
      ...rows.feeds(border),
    };
  }
}

/** The picks as far as the draft foresaw them, and the one after; nothing follows a token that ends the reply. */
function agreed(picks: readonly number[], draft: readonly number[], endIds: readonly number[]): number[] {
  let last = 0;
  while (picks[last] === draft[last] && !endIds.includes(picks[last]!)) last++;
  return picks.slice(0, last + 1);
}
