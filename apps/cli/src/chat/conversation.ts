import { RuntimeFailure } from '@edgedesk/tensor';
import type { ChatMessage, Engine, GenerateFinish, GenerateOptions } from '@edgedesk/runtime';

export interface ConversationOptions extends Omit<GenerateOptions, 'signal'> {
  readonly system?: string;
}

/** New tokens when no number is asked for. */
export const defaultNewTokens = 256;

/**
 * One conversation with its history. When it outgrows the model's context, the oldest exchange goes first; the system
 * message stays.
 */
export class Conversation {
  #messages: ChatMessage[] = [];
  #system: string | undefined;

  constructor(
    private readonly engine: Engine,
    private readonly options: ConversationOptions = {},
  ) {
    this.#system = options.system;
  }

  /** Forgets what was said; `system` replaces the system message, `null` removes it. */
  reset(system?: string | null): void {
    this.#messages = [];
    if (system !== undefined) this.#system = system ?? undefined;
  }

  /**
   * Streams the reply to `question` through `onText` and remembers both. A cancelled reply is remembered as far as it
   * came. Throws RuntimeFailure when the question alone does not fit into the context.
   */
  async ask(question: string, onText: (text: string) => void, signal?: AbortSignal): Promise<GenerateFinish> {
    this.#messages.push({ role: 'user', content: question });
    const maxNewTokens = this.options.maxNewTokens ?? defaultNewTokens;
    const promptIds = this.#fit(maxNewTokens);
    const { system: _, ...sampling } = this.options;
    const room = this.engine.info.contextLength - promptIds.length;
    let reply = '';
    let finish: GenerateFinish | undefined;
    try {
      for await (const chunk of this.engine.generate(promptIds, {
        ...sampling,
        maxNewTokens: Math.min(room, maxNewTokens),
        ...(signal === undefined ? {} : { signal }),
      })) {
        reply += chunk.text;
        finish = chunk.finish ?? finish;
        if (chunk.text !== '') onText(chunk.text);
      }
    } catch (error) {
      this.#messages.pop();
      throw error;
    }
    this.#messages.push({ role: 'assistant', content: reply });
    if (finish === undefined) throw new Error('the engine ended a reply without saying why');
    return finish;
  }

  /** Token ids of the conversation with room for the reply, after forgetting as little as needed. */
  #fit(maxNewTokens: number): number[] {
    const { contextLength } = this.engine.info;
    const system = this.#system === undefined ? [] : [{ role: 'system' as const, content: this.#system }];
    for (let forgotten = 0; ; forgotten += 2) {
      const messages = this.#messages.slice(forgotten);
      const last = messages.length === 1;
      const ids = this.engine.encodeChat([...system, ...messages], { addGenerationPrompt: true });
      if (ids.length + (last ? 1 : Math.min(maxNewTokens, contextLength >> 1)) <= contextLength) {
        this.#messages = messages;
        return ids;
      }
      if (!last) continue;
      this.#messages.pop();
      throw new RuntimeFailure(
        `the message has ${ids.length} tokens and the model's context holds ${contextLength}`,
        {
          fix: 'shorten it',
        },
      );
    }
  }
}
