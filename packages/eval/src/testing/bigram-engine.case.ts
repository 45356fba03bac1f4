import type {
  ChatMessage,
  Engine,
  GenerateChunk,
  GenerateOptions,
  ModelInfo,
  ScoreOptions,
  ScoreResult,
} from '@edgedesk/runtime';
import { commonPrefix } from '../tasks/intent.js';

const specials = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
const turnEnd = 2;

export interface BigramOptions {
  readonly name?: string;
  readonly contextLength?: number;
  /** Logits are rounded to multiples of this: a quantized model. 0 keeps them. */
  readonly step?: number;
}

/**
 * A real language model small enough to check by hand: p(next | last) over characters, from counts in `corpus` with
 * add-0.05 smoothing. Throws when a caller breaks the contract of `Engine.score`.
 */
export class BigramEngine implements Engine {
  readonly info: ModelInfo;
  /** Tokens that `score` had to run, shared prefixes left out. */
  tokensRun = 0;
  private readonly vocabulary: string[];
  private readonly ids: Map<string, number>;
  /** `[vocabulary, vocabulary]`: log p(next | last). */
  private readonly table: Float32Array;
  private previous: readonly number[] = [];

  constructor(corpus: readonly (readonly ChatMessage[])[], options: BigramOptions = {}) {
    const texts = corpus.map((messages) => render(messages, false));
    const letters = [...new Set(Array.from(texts.join('')))].sort();
    this.vocabulary = [...specials, '?', ...letters.filter((letter) => letter !== '?')];
    this.ids = new Map(this.vocabulary.map((token, id) => [token, id]));
    const V = this.vocabulary.length;
    const { name = 'bigram', contextLength = 4096, step = 0 } = options;
    this.table = new Float32Array(V * V).fill(0.05);
    for (const text of texts) {
      const ids = this.encode(text, { allowSpecial: true });
      for (let i = 1; i < ids.length; i++) this.table[ids[i - 1]! * V + ids[i]!]! += 1;
    }
    for (let row = 0; row < V; row++) normalise(this.table.subarray(row * V, (row + 1) * V), step);
    const bits = step === 0 ? 32 : 8;
    this.info = {
      name,
      vocabSize: V,
      contextLength,
      layerCount: 1,
      parameters: V * V,
      sizeBytes: (V * V * bits) / 8,
      bitsPerWeight: bits,
    };
  }

  encode(text: string, { allowSpecial = false } = {}): number[] {
    const pieces = allowSpecial ? text.split(/(<\|[a-z_]+\|>)/) : [text];
    return pieces.flatMap((piece) =>
      allowSpecial && specials.includes(piece)
        ? [specials.indexOf(piece)]
        : Array.from(piece, (letter) => this.ids.get(letter) ?? specials.length),
    );
  }

  decode(ids: readonly number[], { skipSpecial = true } = {}): string {
    return ids.map((id) => (skipSpecial && id < specials.length ? '' : this.vocabulary[id]!)).join('');
  }

  encodeChat(messages: readonly ChatMessage[], { addGenerationPrompt = false } = {}): number[] {
    return this.encode(render(messages, addGenerationPrompt), { allowSpecial: true });
  }

  /** log p(next | last). */
  logProb(last: number, next: number): number {
    return this.table[last * this.info.vocabSize + next]!;
  }

  async *generate(
    promptIds: readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GenerateChunk> {
    const tokenIds: number[] = [];
    let last = promptIds.at(-1)!;
    while (tokenIds.length < (options.maxNewTokens ?? 256)) {
      last = this.likeliest(last);
      if (last === turnEnd && !options.ignoreEnd) break;
      tokenIds.push(last);
    }
    yield {
      text: this.decode(tokenIds),
      tokenIds,
      finish: {
        reason: last === turnEnd ? 'stop' : 'length',
        promptTokens: promptIds.length,
        cachedTokens: 0,
        newTokens: tokenIds.length,
        timeToFirstTokenMs: 1,
        decodeMs: tokenIds.length,
      },
    };
  }

  chat(messages: readonly ChatMessage[], options?: GenerateOptions): AsyncIterable<GenerateChunk> {
    return this.generate(this.encodeChat(messages, { addGenerationPrompt: true }), options);
  }

  score(tokens: readonly number[], options: ScoreOptions = {}): Promise<ScoreResult> {
    const { start = 1, withRows = false } = options;
    if (start < 1 || start > tokens.length) throw new RangeError(`start ${start} of ${tokens.length} tokens`);
    if (tokens.length > this.info.contextLength) throw new RangeError('the tokens exceed the context');
    // The token before the first scored one must run: its output is the prediction.
    const sharedPrefix = Math.min(commonPrefix(tokens, this.previous), start - 1);
    this.previous = [...tokens];
    this.tokensRun += tokens.length - sharedPrefix;
    const V = this.info.vocabSize;
    const count = tokens.length - start;
    const rows = new Float32Array(count * V);
    const logProbs = new Float32Array(count);
    const top1 = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      const last = tokens[start + i - 1]!;
      rows.set(this.table.subarray(last * V, (last + 1) * V), i * V);
      logProbs[i] = this.logProb(last, tokens[start + i]!);
      top1[i] = this.likeliest(last);
    }
    return Promise.resolve(withRows ? { logProbs, top1, rows } : { logProbs, top1 });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  private likeliest(last: number): number {
    const V = this.info.vocabSize;
    let best = 0;
    for (let next = 1; next < V; next++) if (this.logProb(last, next) > this.logProb(last, best)) best = next;
    return best;
  }
}

function render(messages: readonly ChatMessage[], addGenerationPrompt: boolean): string {
  const turns = messages.map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`);
  return turns.join('') + (addGenerationPrompt ? '<|im_start|>assistant\n' : '');
}

/** Counts to log-probabilities, rounded to `step` in between. In place. */
function normalise(row: Float32Array, step: number): void {
  let sum = 0;
  for (let i = 0; i < row.length; i++) {
    const logit = Math.log(row[i]!);
    row[i] = step === 0 ? logit : Math.round(logit / step) * step;
    sum += Math.exp(row[i]!);
  }
  for (let i = 0; i < row.length; i++) row[i]! -= Math.log(sum);
}
