import type { Engine } from '@edgedesk/runtime';
import { Hono } from 'hono';
import type { Context } from 'hono';
import { cors } from 'hono/cors';
import { Admission } from './admission.js';
import { apiKeyGuard } from './guard/api-key.js';
import { hostGuard, originGuard } from './guard/origin.js';
import { readJson } from './guard/read-body.js';
import { limits } from './limits.js';
import { ApiError, badRequest, toApiError } from './openai/api-error.js';
import { answer } from './openai/reply.js';
import type { ReplyJob } from './openai/reply.js';
import { parseChatRequest, parseTextRequest } from './openai/request.js';
import type { CompletionRequest } from './openai/request.js';
import { chatShape, textShape } from './openai/shapes.js';
import { servePage } from './page.js';

export interface AppOptions {
  /** The address the server is bound to: on loopback the Host header is checked. @default '127.0.0.1' */
  readonly host?: string;
  /** Asked for as a bearer token on `/v1/*`. @default none */
  readonly apiKey?: string;
  /** Origins of other sites' pages that may call the API; `*` allows all. @default none */
  readonly cors?: readonly string[];
  /** Replies being generated at once. @default 4 */
  readonly running?: number;
  /** Requests waiting behind them; more get 429. @default 16 */
  readonly waiting?: number;
  /** @default 120 000 */
  readonly requestMs?: number;
  /** Hears of every failure that is the server's own. @default stderr */
  readonly log?: (error: unknown) => void;
}

export interface App {
  readonly fetch: Hono['fetch'];
  readonly admission: Admission;
  /** Aborts every reply in the making. */
  abortAll(reason: ApiError): void;
}

/** The HTTP interface over one engine: OpenAI's API under `/v1`, `/health`, and the built-in page at `/`. */
export function createApp(engine: Engine, options: AppOptions = {}): App {
  const {
    host = '127.0.0.1',
    requestMs = limits.requestMs,
    log = (error) => console.error(error),
    cors: origins = [],
  } = options;
  const admission = new Admission({
    running: options.running ?? limits.running,
    waiting: options.waiting ?? limits.waiting,
  });
  const active = new Set<AbortController>();
  const created = Math.floor(Date.now() / 1000);
  const { info } = engine;
  const card = { id: info.name, object: 'model', created, owned_by: 'edgedesk' };
  const app = new Hono();

  app.use(hostGuard(host), originGuard(origins));
  if (origins.length > 0) {
    app.use('/v1/*', cors({ origin: [...origins], allowHeaders: ['authorization', 'content-type'] }));
  }
  if (options.apiKey !== undefined) app.use('/v1/*', apiKeyGuard(options.apiKey));

  const reply = (
    c: Context,
    request: CompletionRequest,
    promptIds: readonly number[],
    kind: typeof chatShape,
  ) => {
    if (request.model !== undefined && request.model !== info.name)
      throw unknownModel(request.model, info.name);
    const room = info.contextLength - promptIds.length;
    if (room < 1) {
      const message = `The prompt has ${promptIds.length} tokens, but the model's context holds ${info.contextLength}.`;
      throw badRequest(message, undefined, 'context_length_exceeded');
    }
    const maxNewTokens = Math.min(room, request.options.maxNewTokens ?? limits.defaultNewTokens);
    const job: ReplyJob = {
      shape: kind({ model: info.name, includeUsage: request.includeUsage }),
      stream: request.stream,
      includeUsage: request.includeUsage,
      generate: (signal) => engine.generate(promptIds, { ...request.options, maxNewTokens, signal }),
    };
    return answer(job, { admission, requestMs, active, client: c.req.raw.signal, log });
  };

  app.post('/v1/chat/completions', async (c) => {
    const request = parseChatRequest(await readJson(c.req.raw, limits.bodyBytes));
    return reply(c, request, engine.encodeChat(request.messages, { addGenerationPrompt: true }), chatShape);
  });
  app.post('/v1/completions', async (c) => {
    const request = parseTextRequest(await readJson(c.req.raw, limits.bodyBytes));
    return reply(c, request, engine.encode(request.prompt, { allowSpecial: true }), textShape);
  });
  app.get('/v1/models', (c) => c.json({ object: 'list', data: [card] }));
  app.get('/v1/models/:id', (c) => {
    if (c.req.param('id') !== info.name) throw unknownModel(c.req.param('id'), info.name);
    return c.json(card);
  });
  app.get('/health', (c) =>
    c.json({ status: 'ok', model: info.name, running: admission.running, waiting: admission.waiting }),
  );
  servePage(app);

  app.notFound((c) =>
    new ApiError(
      404,
      'invalid_request_error',
      `There is nothing at ${c.req.method} ${c.req.path.slice(0, 200)}.`,
    ).response(),
  );
  app.onError((error) => {
    const failure = toApiError(error);
    if (failure !== error && failure.status >= 500) log(error);
    return failure.response();
  });
  return {
    fetch: app.fetch,
    admission,
    abortAll: (reason) => active.forEach((controller) => controller.abort(reason)),
  };
}

function unknownModel(asked: string, served: string): ApiError {
  const message = `The model \`${asked.slice(0, 200)}\` is not here; this server has \`${served}\`.`;
  return new ApiError(404, 'invalid_request_error', message, { param: 'model', code: 'model_not_found' });
}
