import type { DecoderConfig } from '@edgedesk/models';
import { RuntimeFailure } from '@edgedesk/tensor';
import type {
  ControlledEvaluateInputItem,
  LlamaContext,
  LlamaContextSequence,
  LlamaModel,
  Token,
} from 'node-llama-cpp';
import { llamaComplaint } from './llama-library.js';

/** llama.cpp pads contexts to this many rows. */
const rowsAtOnce = 256;
/** Tokens that are computed together at most: the memory for activations grows with it. */
const batchSize = 64;

type Option<T> = T extends readonly [unknown, infer O] ? O : never;
/** What is wanted of the token behind a row. */
export type Wanted = NonNullable<Option<ControlledEvaluateInputItem>['generateNext']>;
export type Found = NonNullable<
  Awaited<ReturnType<LlamaContextSequence['controlledEvaluate']>>[number]
>['next'];

/** llama.cpp's keys and values of one sequence, a context of its own: room for `capacity` tokens, float16. */
export class LlamaRows {
  /** What has been read. */
  readonly tokens: number[] = [];

  private constructor(
    readonly capacity: number,
    readonly sizeBytes: number,
    private readonly context: LlamaContext,
    private readonly sequence: LlamaContextSequence,
  ) {}

  /** Bytes of rows for `capacity` tokens. */
  static bytes({ layerCount, kvHeadCount, headDim }: DecoderConfig, capacity: number): number {
    const half = 2;
    return 2 * half * layerCount * kvHeadCount * headDim * capacity;
  }

  /** The number of rows that is allocated for `tokens`. */
  static capacityFor(tokens: number): number {
    return Math.ceil(tokens / rowsAtOnce) * rowsAtOnce;
  }

  /** Rows for at least `tokens` tokens; RuntimeFailure when there is no memory for them. */
  static async create(
    model: LlamaModel,
    config: DecoderConfig,
    tokens: number,
    threads: number,
  ): Promise<LlamaRows> {
    const capacity = LlamaRows.capacityFor(tokens);
    try {
      const context = await model.createContext({ contextSize: capacity, sequences: 1, batchSize, threads });
      return new LlamaRows(capacity, LlamaRows.bytes(config, capacity), context, context.getSequence());
    } catch (cause) {
      throw new RuntimeFailure(`llama.cpp has no room for ${capacity} tokens: ${llamaComplaint(cause)}`, {
        fix: 'shorten the conversation or close other programs',
        cause,
      });
    }
  }

  /** Leading tokens in common with `tokens`. */
  commonPrefix(tokens: readonly number[]): number {
    const end = Math.min(tokens.length, this.tokens.length);
    for (let i = 0; i < end; i++) if (tokens[i] !== this.tokens[i]) return i;
    return end;
  }

  /** Forgets all tokens from `length` on. */
  async truncate(length: number): Promise<void> {
    const end = this.tokens.length;
    if (length >= end) return;
    if (length === 0) await this.sequence.clearHistory();
    else await this.sequence.eraseContextTokenRanges([{ start: length, end }]);
    this.tokens.length = length;
  }

  /** Reads `ids`; the result has what is wanted of the token behind each, undefined where nothing is. */
  async read(
    ids: readonly number[],
    wanted: (index: number) => Wanted | undefined = () => undefined,
  ): Promise<readonly (Found | undefined)[]> {
    const items = ids.map((id, i): ControlledEvaluateInputItem => {
      const generateNext = wanted(i);
      return generateNext ? [id as Token, { generateNext }] : (id as Token);
    });
    const found = await this.sequence.controlledEvaluate(items);
    this.tokens.push(...ids);
    return ids.map((_, i) => found[i]?.next);
  }

  dispose(): Promise<void> {
    return this.context.dispose();
  }
}
