import { DataError } from '@edgedesk/tensor';
import type { Engine, GenerateFinish } from '@edgedesk/runtime';
import type { SpeedReport } from '../report/schema.js';
import { quantile } from '../statistics/bootstrap.js';
import type { Interval } from '../statistics/bootstrap.js';

/** Filler for prompts: ordinary prose in both languages, so that tokens are as long as a customer's. */
const prose =
  'Thank you for your order. The parcel leaves our warehouse tomorrow and reaches you within three working days. ' +
  '感谢您的订购。包裹将于明天从仓库发出，三个工作日内送达。如需更改地址，请在发货前联系客服。';

export interface SpeedOptions {
  openEngine(): Promise<Engine>;
  /** @default 256 */
  readonly promptTokens?: number;
  /** 2 or more: the first comes out of the prefill. @default 64 */
  readonly newTokens?: number;
  /** Measured runs behind one that warms up. @default 5 */
  readonly repeats?: number;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Run {
  readonly ttftMs: number;
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
}

/**
 * Time to the first token and tokens per second of prefill and decoding, one conversation: medians over repeats.
 * Every repeat has a prompt of its own, so that no prefix cache answers for it. Opens the engine and closes it again.
 */
export async function measureSpeed(options: SpeedOptions): Promise<SpeedReport> {
  const { promptTokens = 256, newTokens = 64, repeats = 5, onProgress, signal } = options;
  const engine = await options.openEngine();
  try {
    const { contextLength } = engine.info;
    if (promptTokens < 1 || newTokens < 2 || repeats < 1) {
      throw new DataError('speed needs a prompt token, two new tokens and one repeat at least', {
        where: engine.info.name,
        fix: 'ask for more',
      });
    }
    if (promptTokens + newTokens > contextLength) {
      throw new DataError(
        `${promptTokens} prompt and ${newTokens} new tokens exceed the context of ${contextLength}`,
        {
          where: engine.info.name,
          fix: 'ask for fewer tokens',
        },
      );
    }
    const runs: Run[] = [];
    for (let repeat = 0; repeat <= repeats; repeat++) {
      signal?.throwIfAborted();
      const run = await measureRun(engine, promptOf(engine, promptTokens, repeat), newTokens, signal);
      if (repeat > 0) runs.push(run);
      onProgress?.(repeat + 1, repeats + 1);
    }
    const ttft = summary(runs, 'ttftMs');
    const prefill = summary(runs, 'prefillTokensPerSecond');
    const decode = summary(runs, 'decodeTokensPerSecond');
    return {
      ttftMs: ttft.median,
      prefillTokensPerSecond: prefill.median,
      decodeTokensPerSecond: decode.median,
      promptTokens,
      newTokens,
      repeats,
      spread: {
        ttftMs: ttft.spread,
        prefillTokensPerSecond: prefill.spread,
        decodeTokensPerSecond: decode.spread,
      },
    };
  } finally {
    await engine.close();
  }
}

/** `length` ids of prose that differ from their start for every `repeat`. */
function promptOf(engine: Engine, length: number, repeat: number): number[] {
  const sentence = engine.encode(prose);
  const opening = engine.encode(`${repeat + 1}. `);
  return Array.from({ length }, (_, i) =>
    i < opening.length ? opening[i]! : sentence[(i - opening.length + repeat * 7) % sentence.length]!,
  );
}

/** One greedy reply of exactly `newTokens`. */
async function measureRun(
  engine: Engine,
  prompt: readonly number[],
  newTokens: number,
  signal: AbortSignal | undefined,
): Promise<Run> {
  let finish: GenerateFinish | undefined;
  const options = {
    temperature: 0,
    maxNewTokens: newTokens,
    ignoreEnd: true,
    // How much drafts win depends on what the text repeats; what is measured is the model.
    speculation: 'off' as const,
    ...(signal === undefined ? {} : { signal }),
  };
  for await (const chunk of engine.generate(prompt, options)) finish = chunk.finish ?? finish;
  signal?.throwIfAborted();
  if (finish === undefined) throw new Error('the engine ended a reply without its figures');
  return {
    ttftMs: finish.timeToFirstTokenMs,
    prefillTokensPerSecond: perSecond(prompt.length - finish.cachedTokens, finish.timeToFirstTokenMs),
    // The first token comes out of the prefill.
    decodeTokensPerSecond: perSecond(finish.newTokens - 1, finish.decodeMs),
  };
}

/** A clock too coarse to see the work counts as a microsecond. */
function perSecond(count: number, elapsedMs: number): number {
  return (1000 * count) / Math.max(elapsedMs, 1e-3);
}

function summary(runs: readonly Run[], key: keyof Run): { median: number; spread: Interval } {
  const values = runs.map((run) => run[key]).sort((a, b) => a - b);
  return { median: quantile(values, 0.5), spread: [values[0]!, values.at(-1)!] };
}
