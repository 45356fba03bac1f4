import { createInterface } from 'node:readline';
import { EdgeDeskError } from '@edgedesk/tensor';
import type { Engine } from '@edgedesk/runtime';
import type { Language } from '../terminal/language.js';
import { onInterrupt } from '../terminal/cleanup.js';
import { Conversation } from './conversation.js';
import type { ConversationOptions } from './conversation.js';
import { chatTexts } from './texts.js';

export interface InteractiveStreams {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
}

/** A conversation in the terminal. Ends with /quit, Ctrl-D, or Ctrl-C while nothing is being written. */
export async function chatInteractively(
  engine: Engine,
  options: ConversationOptions,
  language: Language,
  { input, output }: InteractiveStreams = { input: process.stdin, output: process.stdout },
): Promise<void> {
  const texts = chatTexts[language];
  const conversation = new Conversation(engine, options);
  const say = (text: string) => output.write(`${text}\n`);
  const lines = createInterface({
    input,
    output,
    prompt: texts.you,
    terminal: (output as { isTTY?: boolean }).isTTY,
  });
  let writing: AbortController | undefined;
  const stop = () => (writing === undefined ? lines.close() : writing.abort());
  lines.on('SIGINT', stop);
  const ignoreInterrupt = onInterrupt(stop);
  // Listens from here on: a line typed before the loop below began would be lost.
  const typed = lines[Symbol.asyncIterator]();
  say(texts.intro(engine.info.name));
  lines.prompt();
  try {
    for await (const line of typed) {
      const text = line.trim();
      if (text === '/quit' || text === '/exit') break;
      if (text.startsWith('/')) say(runCommand(text));
      else if (text !== '') await reply(text);
      lines.prompt();
    }
  } finally {
    ignoreInterrupt();
    lines.close();
  }
  say(`\n${texts.bye}`);

  function runCommand(text: string): string {
    const [, command = '', argument = ''] = /^(\S+)\s*(.*)$/s.exec(text) ?? [];
    switch (command) {
      case '/help':
        return texts.help;
      case '/reset':
        conversation.reset();
        return texts.forgotten;
      case '/system':
        conversation.reset(argument === '' ? null : argument);
        return argument === '' ? texts.systemRemoved : texts.systemSet;
      default:
        return texts.unknown(command);
    }
  }

  async function reply(question: string): Promise<void> {
    writing = new AbortController();
    try {
      const { reason } = await conversation.ask(question, (text) => output.write(text), writing.signal);
      say(reason === 'cancelled' ? ` ${texts.stopped}` : reason === 'length' ? ` ${texts.cut}` : '');
    } catch (error) {
      if (!EdgeDeskError.isInstance(error)) throw error;
      say(error.sentence);
    } finally {
      writing = undefined;
    }
  }
}
