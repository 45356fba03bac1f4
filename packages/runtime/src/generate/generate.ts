import type { StreamDecoder } from '@edgedesk/models';
import { RecipeError } from '@edgedesk/tensor';
import type { FinishReason, GenerateChunk, GenerateOptions } from '../engine.js';
import type { TokenModel } from '../model/token-model.js';
import { UniformTape, uniformStream } from '../sampling/random.js';
import { checkSampling, type Sampling } from '../sampling/sampling.js';
import { ChunkLength } from './chunk-length.js';
import type { PassCost } from './pass-cost.js';
import { Speculation } from './speculation.js';
import { StopText } from './stop-text.js';
import type { Turns } from './turns.js';

/** What all conversations on a model share. */
export interface Generator {
  readonly model: TokenModel;
  readonly turns: Turns;
  /** Prompt tokens read in one turn: bounds memory and how long others wait. */
  readonly promptPiece: number;
  /** Tokens of each chunk after the first; adaptive when absent. */
  readonly chunkTokens?: number | undefined;
  /** What all conversations have learnt about the price of drafts. */
  readonly passCost: PassCost;
  streamDecoder(): StreamDecoder;
}

interface Checked {
  readonly sampling: Sampling;
  readonly stopText: StopText;
  readonly maxNewTokens: number;
  readonly endIds: readonly number[];
}

/** Streams the reply to `promptIds`. Options are checked before the first token; see `Engine.generate`. */
export async function* generate(
  generator: Generator,
  promptIds: readonly number[],
  options: GenerateOptions,
): AsyncGenerator<GenerateChunk, void, undefined> {
  const started = performance.now();
  const { model, turns } = generator;
  const { signal } = options;
  const { sampling, stopText, maxNewTokens, endIds } = check(model, promptIds, options);
  const decoder = generator.streamDecoder();
  const tape = new UniformTape(uniformStream(sampling.seed));
  const chunk = new ChunkLength(generator.chunkTokens);
  const speculation =
    options.speculation === 'off' ? null : new Speculation(promptIds, endIds, generator.passCost);

  const leave = turns.admit();
  const sequence = await model.begin(promptIds, promptIds.length + maxNewTokens).catch((error: unknown) => {
    leave();
    throw error;
  });
  const { cachedTokens } = sequence;
  let newTokens = 0;
  let firstAt = started;
  let lastAt = started;
  const last = (text: string, tokenIds: readonly number[], reason: FinishReason): GenerateChunk => ({
    text,
    tokenIds,
    finish: {
      reason,
      promptTokens: promptIds.length,
      cachedTokens,
      newTokens,
      timeToFirstTokenMs: firstAt - started,
      decodeMs: lastAt - firstAt,
      draftedTokens: speculation?.draftedTokens ?? 0,
      acceptedTokens: speculation?.acceptedTokens ?? 0,
    },
  });
  try {
    let pending = promptIds.slice(cachedTokens);
    while (pending.length > generator.promptPiece) {
      const piece = pending.slice(0, generator.promptPiece);
      if (!(await turns.take(() => sequence.read(piece).then(() => true), signal))) {
        yield last('', [], 'cancelled');
        return;
      }
      pending = pending.slice(piece.length);
    }
    for (;;) {
      const left = maxNewTokens - newTokens;
      const draft = (newTokens > 0 && speculation?.draft(left - 1)) || [];
      const plain = generator.chunkTokens ?? speculation?.plainTokens ?? Infinity;
      const count = draft.length > 0 ? draft.length + 1 : Math.min(chunk.next, left, plain);
      const uniforms = tape.peek(count);
      const ids = pending;
      let elapsedMs = 0;
      const tokens = await turns.take(async () => {
        const from = performance.now();
        const picked = await sequence.generate(ids, { sampling, endIds, uniforms, draft });
        elapsedMs = performance.now() - from;
        return picked;
      }, signal);
      if (tokens === undefined) {
        yield last(stopText.push(decoder.end()) + stopText.end(), [], 'cancelled');
        return;
      }
      lastAt = performance.now();
      if (newTokens === 0) {
        firstAt = lastAt;
        chunk.begin();
        speculation?.heard(tokens);
      } else {
        if (draft.length === 0) chunk.took(elapsedMs, tokens.length);
        speculation?.took(draft, tokens, elapsedMs);
      }
      newTokens += tokens.length;
      tape.drop(tokens.length);
      pending = tokens.slice(-1);

      const ended = endIds.includes(tokens.at(-1)!);
      const spoken = ended ? tokens.slice(0, -1) : tokens;
      let text = stopText.push(decoder.push(spoken));
      const full = newTokens >= maxNewTokens;
      if (ended || (full && !stopText.stopped)) text += stopText.push(decoder.end()) + stopText.end();
      if (ended || full || stopText.stopped) {
        yield last(text, spoken, ended || stopText.stopped ? 'stop' : 'length');
        return;
      }
      yield { text, tokenIds: spoken };
    }
  } finally {
    leave();
    await sequence.end();
  }
}

function check(model: TokenModel, promptIds: readonly number[], options: GenerateOptions): Checked {
  const { contextLength, vocabSize, eosTokenIds } = model.config;
  const { maxNewTokens = 256, stop = [], ignoreEnd = false } = options;
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1) {
    throw new RecipeError('it must be a whole number, 1 or more', {
      where: 'maxNewTokens',
      fix: 'change that option',
    });
  }
  checkTokens(promptIds, vocabSize);
  if (promptIds.length >= contextLength) {
    throw new RecipeError(
      `the prompt has ${promptIds.length} tokens but the model reads ${contextLength}, reply included`,
      { where: 'prompt', fix: 'shorten the conversation or the passages' },
    );
  }
  return {
    sampling: checkSampling(options),
    stopText: new StopText(stop),
    maxNewTokens: Math.min(maxNewTokens, contextLength - promptIds.length),
    endIds: ignoreEnd ? [] : eosTokenIds,
  };
}

/** RecipeError when there are no tokens or one is outside the vocabulary. */
export function checkTokens(ids: readonly number[], vocabSize: number): void {
  if (ids.length === 0) {
    throw new RecipeError('there are no tokens', { where: 'prompt', fix: 'give some text' });
  }
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong !== undefined) {
    throw new RecipeError(`${wrong} is no token of a vocabulary of ${vocabSize}`, {
      where: 'prompt',
      fix: "use the model's own tokenizer",
    });
  }
}
