import type { ChatMessage, GenerateOptions } from '@edgedesk/runtime';
import { z } from 'zod';
import { limits } from '../limits.js';
import { badRequest } from './api-error.js';

const textPart = z.object({ type: z.literal('text', 'only text parts are supported'), text: z.string() });
const content = z.union([z.string(), z.array(textPart).max(limits.messages)], {
  error: 'must be a string or a list of text parts',
});

const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant'], 'must be system, developer, user or assistant'),
  content,
});

const stop = z.string().min(1, 'must not be empty').max(limits.stopCharacters);

/** What this server cannot do is refused, so that nobody gets a reply made under other terms than asked for. */
const nothing = <T extends z.ZodType>(schema: T) => schema.nullish();
const unsupported = {
  n: nothing(z.literal(1, 'only 1 reply a request is supported')),
  logprobs: nothing(z.literal(false, 'log-probabilities are not supported')),
  tools: nothing(z.array(z.unknown()).max(0, 'tools are not supported')),
  functions: nothing(z.array(z.unknown()).max(0, 'functions are not supported')),
  response_format: nothing(z.object({ type: z.literal('text', 'only text is supported') })),
  frequency_penalty: nothing(z.literal(0, 'not supported; use repetition_penalty')),
  presence_penalty: nothing(z.literal(0, 'not supported; use repetition_penalty')),
};

const newTokens = z.int('must be a whole number').min(1, 'must be at least 1');

const sampling = {
  model: z.string().max(256).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().min(0.1).max(10).nullish(),
  seed: z.int('must be a whole number').nullish(),
  stop: z.union([stop, z.array(stop).max(limits.stopSequences)]).nullish(),
  max_tokens: newTokens.nullish(),
};

const chatSchema = z.object({
  ...sampling,
  ...unsupported,
  max_completion_tokens: newTokens.nullish(),
  messages: z.array(message).min(1, 'must hold at least one message').max(limits.messages),
});

const completionSchema = z.object({
  ...sampling,
  ...unsupported,
  logprobs: z.null('log-probabilities are not supported').optional(),
  echo: nothing(z.literal(false, 'echo is not supported')),
  best_of: nothing(z.literal(1, 'only 1 reply a request is supported')),
  suffix: z.null('a suffix is not supported').optional(),
  prompt: z.union([z.string(), z.array(z.string()).length(1, 'only one prompt a request is supported')], {
    error: 'must be one string',
  }),
});

/** A validated request: what to generate from, how, and how to answer. */
export interface CompletionRequest {
  readonly model: string | undefined;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** Without `maxNewTokens` the context window decides. */
  readonly options: GenerateOptions;
}

export interface ChatRequest extends CompletionRequest {
  readonly messages: readonly ChatMessage[];
}

export interface TextRequest extends CompletionRequest {
  readonly prompt: string;
}

export function parseChatRequest(body: unknown): ChatRequest {
  const request = parse(chatSchema, body);
  const messages = request.messages.map(({ role, content }): ChatMessage => ({
    role: role === 'developer' ? 'system' : role,
    content: typeof content === 'string' ? content : content.map((part) => part.text).join(''),
  }));
  boundLength(
    messages.reduce((sum, { content }) => sum + content.length, 0),
    'messages',
  );
  return { ...common(request, request.max_completion_tokens ?? request.max_tokens), messages };
}

export function parseTextRequest(body: unknown): TextRequest {
  const request = parse(completionSchema, body);
  const prompt = typeof request.prompt === 'string' ? request.prompt : request.prompt.join('');
  boundLength(prompt.length, 'prompt');
  return { ...common(request, request.max_tokens), prompt };
}

function parse<T extends z.ZodType>(schema: T, body: unknown): z.infer<T> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue?.path.reduce<string>(
    (text, key) =>
      typeof key === 'number' ? `${text}[${key}]` : text === '' ? String(key) : `${text}.${String(key)}`,
    '',
  );
  const field = path === undefined || path === '' ? undefined : path;
  throw badRequest(
    `${field === undefined ? 'The request' : `\`${field}\``}: ${issue?.message ?? 'is not valid'}.`,
    field,
  );
}

function boundLength(characters: number, param: string): void {
  if (characters <= limits.promptCharacters) return;
  throw badRequest(
    `\`${param}\`: ${characters} characters are more than the ${limits.promptCharacters} this server takes.`,
    param,
    'string_above_max_length',
  );
}

type Sampling = z.infer<z.ZodObject<typeof sampling>>;

/** `{ [key]: value }`, or nothing when the request leaves the field out. */
function given<K extends keyof GenerateOptions>(
  key: K,
  value: GenerateOptions[K] | null | undefined,
): Partial<Pick<GenerateOptions, K>> {
  return value === null || value === undefined ? {} : ({ [key]: value } as Pick<GenerateOptions, K>);
}

function common(request: Sampling, maxNewTokens: number | null | undefined): CompletionRequest {
  return {
    model: request.model ?? undefined,
    stream: request.stream === true,
    includeUsage: request.stream_options?.include_usage === true,
    options: {
      ...given('temperature', request.temperature),
      ...given('topP', request.top_p),
      ...given('topK', request.top_k),
      ...given('minP', request.min_p),
      ...given('repetitionPenalty', request.repetition_penalty),
      ...given('seed', request.seed),
      ...given('stop', typeof request.stop === 'string' ? [request.stop] : request.stop),
      ...given('maxNewTokens', maxNewTokens),
    },
  };
}
