import { CheckpointError } from '@edgedesk/tensor';
import { BoundedTemplate } from './bounded-template.js';
import type { ChatMessage } from './tokenizer.js';

/** A longer template is no chat template; the longest public ones have about 20,000 characters. */
export const maxTemplateLength = 2 ** 18;

/** Special tokens that templates may name. */
export type NamedTokens = Readonly<Partial<Record<'bos_token' | 'eos_token' | 'pad_token' | 'unk_token', string>>>;

/** A model's chat template: conversation in, text out. */
export class ChatTemplate {
  private readonly template: BoundedTemplate;
  private openingText: string | undefined;

  /** CheckpointError when the template cannot be parsed. */
  constructor(
    source: string,
    private readonly tokens: NamedTokens,
    readonly where: string,
  ) {
    if (source.length > maxTemplateLength) {
      throw new CheckpointError(`the chat template has ${source.length} characters, over ${maxTemplateLength}`, {
        where,
      });
    }
    try {
      this.template = new BoundedTemplate(source);
    } catch (cause) {
      throw new CheckpointError(`the chat template cannot be parsed (${reason(cause)})`, {
        where,
        fix: 'correct the Jinja template',
        cause,
      });
    }
  }

  /** What a generation prompt appends after a user's message; empty when that cannot be told. */
  get opening(): string {
    this.openingText ??= this.findOpening();
    return this.openingText;
  }

  private findOpening(): string {
    const messages: ChatMessage[] = [{ role: 'user', content: 'x' }];
    try {
      const without = this.render(messages, false);
      const whole = this.render(messages, true);
      return whole.startsWith(without) ? whole.slice(without.length) : '';
    } catch (error) {
      if (CheckpointError.isInstance(error)) return '';
      throw error;
    }
  }

  /** CheckpointError when the template refuses the messages. */
  render(messages: readonly ChatMessage[], addGenerationPrompt: boolean): string {
    try {
      return this.template.render({
        ...this.tokens,
        messages: messages.map(({ role, content }) => ({ role, content })),
        add_generation_prompt: addGenerationPrompt,
        tools: null,
        documents: null,
      });
    } catch (cause) {
      throw new CheckpointError(`the chat template refuses the conversation (${reason(cause)})`, {
        where: this.where,
        fix: 'give messages in the order that the model was trained on',
        cause,
      });
    }
  }
}

function reason(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  return text.replace(/\s+/g, ' ').slice(0, 200);
}
