import type { FinishReason, GenerateFinish } from '@edgedesk/runtime';

/** How one API spells a reply, whole and in pieces. */
export interface ReplyShape {
  /** Path-free prefix and random part, e.g. `chatcmpl-...`. */
  readonly id: string;
  /** The first event of a stream, if the API has one. */
  readonly opening: object | undefined;
  delta(text: string): object;
  closing(reason: FinishReason): object;
  usage(finish: GenerateFinish): object;
  whole(text: string, finish: GenerateFinish): object;
}

interface ShapeOptions {
  readonly model: string;
  /** A stream with `include_usage` carries `usage: null` in every event but the last. */
  readonly includeUsage: boolean;
}

function finishReason(reason: FinishReason): 'stop' | 'length' {
  return reason === 'length' ? 'length' : 'stop';
}

function usageOf(finish: GenerateFinish) {
  return {
    prompt_tokens: finish.promptTokens,
    completion_tokens: finish.newTokens,
    total_tokens: finish.promptTokens + finish.newTokens,
    prompt_tokens_details: { cached_tokens: finish.cachedTokens },
  };
}

/** `/v1/chat/completions`. */
export function chatShape({ model, includeUsage }: ShapeOptions): ReplyShape {
  const id = `chatcmpl-${crypto.randomUUID()}`;
  const created = Math.floor(Date.now() / 1000);
  const event = (delta: object, finish_reason: string | null) => ({
    id,
    object: 'chat.completion.chunk',
    created,
    model,
    choices: [{ index: 0, delta, logprobs: null, finish_reason }],
    ...(includeUsage ? { usage: null } : {}),
  });
  return {
    id,
    opening: event({ role: 'assistant', content: '' }, null),
    delta: (content) => event({ content }, null),
    closing: (reason) => event({}, finishReason(reason)),
    usage: (finish) => ({ ...event({}, null), choices: [], usage: usageOf(finish) }),
    whole: (content, finish) => ({
      id,
      object: 'chat.completion',
      created,
      model,
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content, refusal: null },
          logprobs: null,
          finish_reason: finishReason(finish.reason),
        },
      ],
      usage: usageOf(finish),
    }),
  };
}

/** `/v1/completions`. */
export function textShape({ model, includeUsage }: ShapeOptions): ReplyShape {
  const id = `cmpl-${crypto.randomUUID()}`;
  const created = Math.floor(Date.now() / 1000);
  const head = { id, object: 'text_completion', created, model };
  const choice = (text: string, finish_reason: string | null) => [
    { index: 0, text, logprobs: null, finish_reason },
  ];
  const tail = includeUsage ? { usage: null } : {};
  return {
    id,
    opening: undefined,
    delta: (text) => ({ ...head, choices: choice(text, null), ...tail }),
    closing: (reason) => ({ ...head, choices: choice('', finishReason(reason)), ...tail }),
    usage: (finish) => ({ ...head, choices: [], usage: usageOf(finish) }),
    whole: (text, finish) => ({
      ...head,
      choices: choice(text, finishReason(finish.reason)),
      usage: usageOf(finish),
    }),
  };
}
