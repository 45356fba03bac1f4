import type {
  ChatMessage,
  Engine,
  FinishReason,
  GenerateChunk,
  GenerateOptions,
  ModelInfo,
  ScoreResult,
} from '@edgedesk/runtime';

const corpus = [
  'You can return an item within 30 days. Please keep the receipt.',
  'Your parcel is on the way. It arrives in two days.',
  '您可以在三十天内退货。请保留小票。',
  '您的包裹正在路上，预计两天后送达。',
];
const end = 0;

/**
 * A real, tiny language model for tests: counts of character pairs. Token 0 ends a reply, token k is the k-th
 * character. Greedy unless a temperature is given; the same seed gives the same text.
 */
export class BigramEngine implements Engine {
  readonly #characters = ['\u0000', ...new Set([...corpus.join('')])];
  readonly #ids = new Map(this.#characters.map((character, id) => [character, id]));
  readonly #counts = this.#characters.map(() => new Float64Array(this.#characters.length));
  readonly info: ModelInfo;
  /** Replies in the making now, and the most there have been. */
  running = 0;
  mostRunning = 0;
  cancelled = 0;

  constructor(
    private readonly options: {
      tokenMs?: number;
      contextLength?: number;
      endless?: boolean;
      failAt?: number;
    } = {},
  ) {
    for (const text of corpus) {
      let before = end;
      for (const id of [...this.encode(text), end]) {
        this.#counts[before]![id]!++;
        before = id;
      }
    }
    const parameters = this.#characters.length ** 2;
    this.info = {
      name: 'bigram',
      vocabSize: this.#characters.length,
      contextLength: options.contextLength ?? 4096,
      layerCount: 0,
      parameters,
      sizeBytes: parameters * 8,
      bitsPerWeight: 64,
    };
  }

  encode(text: string): number[] {
    return [...text].flatMap((character) => this.#ids.get(character) ?? []);
  }

  decode(ids: readonly number[]): string {
    return ids.map((id) => (id === end ? '' : (this.#characters[id] ?? ''))).join('');
  }

  encodeChat(messages: readonly ChatMessage[]): number[] {
    return messages.flatMap(({ content }) => [...this.encode(content), end]);
  }

  chat(messages: readonly ChatMessage[], options?: GenerateOptions): AsyncIterable<GenerateChunk> {
    return this.generate(this.encodeChat(messages), options);
  }

  async *generate(
    promptIds: readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GenerateChunk> {
    const { maxNewTokens = 256, stop = [], signal, temperature = 0 } = options;
    const random = generator(options.seed ?? 1);
    const start = performance.now();
    let token = promptIds.at(-1) ?? end;
    let text = '';
    let newTokens = 0;
    let reason: FinishReason = 'length';
    this.mostRunning = Math.max(this.mostRunning, ++this.running);
    try {
      while (newTokens < maxNewTokens) {
        await new Promise((resolve) => setTimeout(resolve, this.options.tokenMs ?? 0));
        if (signal?.aborted === true) {
          reason = 'cancelled';
          this.cancelled++;
          break;
        }
        if (newTokens === this.options.failAt) throw new Error('secret detail of /home/someone');
        token = this.#next(token, temperature, random);
        newTokens++;
        if (token === end) {
          if (this.options.endless === true) continue;
          reason = 'stop';
          break;
        }
        const piece = this.decode([token]);
        text += piece;
        const cut = stop.find((sequence) => text.endsWith(sequence));
        if (cut !== undefined) {
          reason = 'stop';
          break;
        }
        if (!stop.some((sequence) => [...sequence].some((_, i) => text.endsWith(sequence.slice(0, i + 1))))) {
          yield { text: piece, tokenIds: [token] };
        }
      }
    } finally {
      this.running--;
    }
    const decodeMs = performance.now() - start;
    const counts = { promptTokens: promptIds.length, cachedTokens: 0, newTokens };
    yield { text: '', tokenIds: [], finish: { reason, ...counts, timeToFirstTokenMs: 0, decodeMs } };
  }

  score(): Promise<ScoreResult> {
    return Promise.reject(new Error('the server does not score'));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #next(before: number, temperature: number, random: () => number): number {
    const counts = this.#counts[before]!;
    if (temperature === 0) return counts.indexOf(Math.max(...counts));
    const weights = counts.map((count) => count ** (1 / temperature));
    let left = random() * weights.reduce((sum, weight) => sum + weight, 0);
    return Math.max(
      0,
      weights.findIndex((weight) => weight > 0 && (left -= weight) <= 0),
    );
  }
}

/** Park and Miller's generator. */
function generator(seed: number): () => number {
  let state = (seed % 2147483646) + 1;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}
