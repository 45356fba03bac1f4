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

/**
 * A conversation in the chat template's words. With `assistant`, loss falls on each reply and the end of its turn. Of a
 * reply longer than `opening` tokens that many are kept, and the end of its turn, which then carries no loss: the model
 * is not to learn to stop there.
 */
export function tokenizeChat(
  messages: readonly DialogueMessage[],
  codec: TextCodec,
  lossOn: LossOn,
  opening = Infinity,
): TokenizedDocument {
  const { ids, assistantMask } = codec.tokenizer.encodeChat(messages);
  const document = { ids, loss: lossOn === 'all' ? new Uint8Array(ids.length).fill(1) : assistantMask };
  return opening === Infinity ? document : openings(document, assistantMask, opening);
}

function openings(
  { ids, loss }: TokenizedDocument,
  assistantMask: Uint8Array,
  most: number,
): TokenizedDocument {
  const kept: number[] = [];
  const carries: number[] = [];
  let said = 0;
  for (let i = 0; i < ids.length; i++) {
    said = assistantMask[i] === 1 ? said + 1 : 0;
    const ends = assistantMask[i + 1] !== 1;
    if (said > most && !ends) continue;
    kept.push(ids[i]!);
    // The end of a turn is one token more.
    carries.push(said > most + 1 ? 0 : loss[i]!);
  }
  return { ids: kept, loss: Uint8Array.from(carries) };
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
  opening = Infinity,
): TokenizedDocument | null {
  const system = messages[0]?.role === 'system' ? messages.slice(0, 1) : [];
  let rest = messages.slice(system.length);
  for (;;) {
    const document = tokenizeChat([...system, ...rest], codec, lossOn, opening);
    if (document.ids.length <= maxTokens) return document;
    const next = rest.findIndex(({ role }, index) => index > 0 && role === 'user');
    if (next < 0) return null;
    rest = rest.slice(next);
  }
}
