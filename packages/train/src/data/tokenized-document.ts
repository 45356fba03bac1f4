import type { DialogueMessage } from '@edgedesk/models';
import type { TextCodec } from './codec.js';

/** Token ids and, for each, 1 when predicting it carries loss. */
export interface TokenizedDocument {
  readonly ids: readonly number[];
  readonly loss: Uint8Array;
}

export type LossOn = 'assistant' | 'all';

/** Plain text: loss on every token, the closing separator included. */
export function tokenizeText(text: string, codec: TextCodec): TokenizedDocument {
  const ids = codec.tokenizer.encode(text);
  ids.push(codec.separatorId);
  return { ids, loss: new Uint8Array(ids.length).fill(1) };
}

/** A conversation in the chat template's words. With `assistant`, loss falls on each reply and the end of its turn. */
export function tokenizeChat(
  messages: readonly DialogueMessage[],
  codec: TextCodec,
  lossOn: LossOn,
): TokenizedDocument {
  const { ids, assistantMask } = codec.tokenizer.encodeChat(messages);
  return { ids, loss: lossOn === 'all' ? new Uint8Array(ids.length).fill(1) : assistantMask };
}

/**
 * `tokenizeChat` in at most `maxTokens` tokens: the oldest exchanges are left out, at turn borders; a system turn stays.
 * Returns null when even the last exchange alone is too long.
 */
export function tokenizeChatWithin(
  messages: readonly DialogueMessage[],
  codec: TextCodec,
  lossOn: LossOn,
  maxTokens: number,
): TokenizedDocument | null {
  const system = messages[0]?.role === 'system' ? messages.slice(0, 1) : [];
  let rest = messages.slice(system.length);
  for (;;) {
    const document = tokenizeChat([...system, ...rest], codec, lossOn);
    if (document.ids.length <= maxTokens) return document;
    const next = rest.findIndex(({ role }, index) => index > 0 && role === 'user');
    if (next < 0) return null;
    rest = rest.slice(next);
  }
}
