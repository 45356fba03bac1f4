import { createInterface } from 'node:readline';
import { EdgeDeskError } from '@edgedesk/tensor';
import type { Engine } from '@edgedesk/runtime';
import { Conversation } from './conversation.js';
import type { ConversationOptions } from './conversation.js';

export interface LineOptions extends ConversationOptions {
  /** Each line continues the conversation instead of starting a new one. @default false */
  readonly keepHistory?: boolean;
  /** Answer with one JSON object a line. @default false */
  readonly json?: boolean;
  readonly signal?: AbortSignal;
}

export interface LineStreams {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
  readonly complain: (sentence: string) => void;
}

/**
 * One question a line in, one answer a line out, in the same order: line n of the output answers line n of the input,
 * also when it is empty or cannot be answered. Returns how many could not; throws
 * the signal's reason when aborted.
 */
export async function chatLineByLine(
  engine: Engine,
  options: LineOptions,
  streams: LineStreams,
): Promise<number> {
  const { keepHistory = false, json = false, signal, ...asked } = options;
  const conversation = new Conversation(engine, asked);
  const lines = createInterface({
    input: streams.input,
    crlfDelay: Infinity,
    ...(signal === undefined ? {} : { signal }),
  });
  let number = 0;
  let failures = 0;
  for await (const line of lines) {
    if (signal?.aborted === true) break;
    number++;
    const question = line.trim();
    if (!keepHistory) conversation.reset();
    let answer = '';
    let outcome: object = {};
    try {
      if (question !== '') {
        const finish = await conversation.ask(question, (text) => (answer += text), signal);
        outcome = {
          finishReason: finish.reason,
          promptTokens: finish.promptTokens,
          newTokens: finish.newTokens,
        };
        if (finish.reason === 'cancelled') break;
      }
    } catch (error) {
      if (!EdgeDeskError.isInstance(error)) throw error;
      failures++;
      streams.complain(`line ${number}: ${error.sentence}`);
      outcome = { error: error.sentence };
    }
    const text = json
      ? JSON.stringify({ question, answer, ...outcome })
      : answer.trim().replace(/\s*[\r\n]+\s*/g, ' ');
    if (!streams.output.write(`${text}\n`))
      await new Promise((resolve) => streams.output.once('drain', resolve));
  }
  lines.close();
  signal?.throwIfAborted();
  return failures;
}
