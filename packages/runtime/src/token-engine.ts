import type { ChatMessage, Tokenizer } from '@edgedesk/models';
import { RuntimeFailure } from '@edgedesk/tensor';
import type {
  Engine,
  GenerateChunk,
  GenerateOptions,
  ModelInfo,
  ScoreOptions,
  ScoreResult,
} from './engine.js';
import { generate, type Generator } from './generate/generate.js';
import { score } from './generate/score.js';

/** Text and turns over a `TokenModel`, which may live in another thread. */
export class TokenEngine implements Engine {
  private closed = false;

  constructor(
    readonly info: ModelInfo,
    private readonly tokenizer: Tokenizer,
    private readonly generator: Generator,
  ) {}

  encode(text: string, options?: { allowSpecial?: boolean }): number[] {
    return this.tokenizer.encode(text, options);
  }

  decode(ids: readonly number[], options?: { skipSpecial?: boolean }): string {
    return this.tokenizer.decode(ids, options);
  }

  encodeChat(messages: readonly ChatMessage[], options: { addGenerationPrompt?: boolean } = {}): number[] {
    return this.tokenizer.encodeChat(messages, options).ids;
  }

  async *generate(
    promptIds: readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GenerateChunk> {
    this.assertOpen();
    yield* generate(this.generator, promptIds, options);
  }

  chat(messages: readonly ChatMessage[], options?: GenerateOptions): AsyncIterable<GenerateChunk> {
    return this.generate(this.encodeChat(messages, { addGenerationPrompt: true }), options);
  }

  async score(tokens: readonly number[], options?: ScoreOptions): Promise<ScoreResult> {
    this.assertOpen();
    const { model, turns, promptPiece } = this.generator;
    return score(model, turns, promptPiece, tokens, options);
  }

  /** Waits for the turn that runs; conversations still open fail at their next. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.generator.turns.close(() => this.generator.model.release());
  }

  private assertOpen(): void {
    if (this.closed) throw new RuntimeFailure('the model has been closed', { fix: 'open it again' });
  }
}
