import type { GenerateChunk } from '@edgedesk/runtime';
import { toApiError } from './api-error.js';
import type { ReplyShape } from './shapes.js';
import { clientGone, takeTurn } from './turn.js';
import type { Turn, TurnContext } from './turn.js';

/** One generation to run and how to tell it. */
export interface ReplyJob {
  readonly shape: ReplyShape;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  generate(signal: AbortSignal): AsyncIterable<GenerateChunk>;
}

export interface ReplyContext extends TurnContext {
  readonly log: (error: unknown) => void;
}

/** Waits for a turn, generates, and answers with the whole reply or with a stream of server-sent events. */
export async function answer(job: ReplyJob, context: ReplyContext): Promise<Response> {
  const turn = await takeTurn(context);
  if (job.stream) return eventStream(job, turn, context.log);
  try {
    return Response.json(await whole(job, turn.signal));
  } finally {
    turn.end();
  }
}

async function whole({ shape, generate }: ReplyJob, signal: AbortSignal): Promise<object> {
  let text = '';
  for await (const chunk of chunksOf(generate, signal)) {
    text += chunk.text;
    if (chunk.finish !== undefined) return shape.whole(text, chunk.finish);
  }
  throw new Error('the engine ended a reply without saying why');
}

/** The engine's chunks; throws the signal's reason where the engine would report a cancelled reply. */
async function* chunksOf(generate: ReplyJob['generate'], signal: AbortSignal): AsyncGenerator<GenerateChunk> {
  for await (const chunk of generate(signal)) {
    signal.throwIfAborted();
    yield chunk;
  }
  signal.throwIfAborted();
}

/**
 * Events are queued without waiting for the reader: a slow client does not hold a turn, and the queue is bounded by
 * the number of new tokens. A failure after the first byte is told as an `error` event.
 */
function eventStream(job: ReplyJob, turn: Turn, log: (error: unknown) => void): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const send = (event: object) =>
        controller.enqueue(encoder.encode(`data: ${JSON.stringify(event)}\n\n`));
      void run(job, turn.signal, send)
        .then(() => controller.enqueue(encoder.encode('data: [DONE]\n\n')))
        .catch((error: unknown) => {
          const failure = toApiError(error);
          if (failure.details.code === 'cancelled') return;
          if (failure !== error) log(error);
          send(failure.body);
        })
        .finally(() => {
          turn.end();
          controller.close();
        })
        .catch(() => undefined); // The reader went away: there is nobody to tell.
    },
    cancel: () => turn.abort(clientGone()),
  });
  return new Response(body, {
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      // Proxies such as nginx would hold the events back.
      'x-accel-buffering': 'no',
    },
  });
}

async function run(job: ReplyJob, signal: AbortSignal, send: (event: object) => void): Promise<void> {
  const { shape } = job;
  if (shape.opening !== undefined) send(shape.opening);
  for await (const { text, finish } of chunksOf(job.generate, signal)) {
    if (text !== '') send(shape.delta(text));
    if (finish === undefined) continue;
    send(shape.closing(finish.reason));
    if (job.includeUsage) send(shape.usage(finish));
    return;
  }
  throw new Error('the engine ended a reply without saying why');
}
