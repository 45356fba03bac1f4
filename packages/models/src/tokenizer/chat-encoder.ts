import { AddedTokenSplitter } from './added-tokens.js';
import { assistantSpans } from './assistant-spans.js';
import type { ChatTemplate } from './chat-template.js';
import { Defuser, unusedCharacter } from './defuse.js';
import type { TextEncoderPipeline } from './text-encoder.js';
import type { ChatMessage, EncodedChat } from './tokenizer.js';
import type { AddedTokenJson } from './tokenizer-json.js';

/**
 * Conversations to ids. Text is also cut where a reply begins, so that the ids of a conversation up to its generation
 * prompt are the first ids of the whole: what the model is trained on is what it meets when it answers.
 */
export class ChatEncoder {
  private readonly specials: AddedTokenSplitter;
  private readonly defuser: Defuser;

  constructor(
    addedTokens: readonly AddedTokenJson[],
    private readonly template: ChatTemplate,
    private readonly pipeline: TextEncoderPipeline,
  ) {
    const special = addedTokens.filter((token) => token.special);
    this.specials = new AddedTokenSplitter(special);
    this.defuser = new Defuser(special.map(({ content }) => content));
  }

  encode(messages: readonly ChatMessage[], addGenerationPrompt: boolean): EncodedChat {
    const mark = unusedCharacter(messages.map(({ content }) => content));
    const safe = this.defuser.defuse(messages, mark);
    const rendered = this.template.render(safe, addGenerationPrompt);
    const specials = this.specials.find(rendered);
    const spans = assistantSpans(this.template, safe, rendered, specials);

    const ids: number[] = [];
    const spoken: boolean[] = [];
    const emit = (more: readonly number[], from: number, to: number): void => {
      const loss = spans.some(({ start, end }) => from >= start && to <= end);
      for (const id of more) {
        ids.push(id);
        spoken.push(loss);
      }
    };
    const edges = spans.flatMap(({ start, end }) => [start, end]).sort((a, b) => a - b);
    const emitText = (from: number, to: number): void => {
      let at = from;
      for (const edge of [...edges.filter((e) => e > from && e < to), to]) {
        const text = rendered.slice(at, edge).replaceAll(mark, '');
        if (text !== '') emit(this.pipeline.encode(text, false, ids.length === 0), at, edge);
        at = edge;
      }
    };
    let rest = 0;
    for (const { id, start, end } of specials) {
      emitText(rest, start);
      emit([id], start, end);
      rest = end;
    }
    emitText(rest, rendered.length);
    return { ids, assistantMask: Uint8Array.from(spoken, Number) };
  }
}
