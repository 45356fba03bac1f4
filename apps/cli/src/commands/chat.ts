import { Command, Option } from 'commander';
import { defaultNewTokens } from '../chat/conversation.js';
import type { ConversationOptions } from '../chat/conversation.js';
import { environmentLanguage } from '../terminal/language.js';
import type { Language } from '../terminal/language.js';
import { decimal, wholeNumber } from '../terminal/numbers.js';
import { engineOption } from '../model/engine-choice.js';
import type { EngineName } from '../model/engine-choice.js';

interface ChatOptions {
  readonly engine: EngineName;
  readonly system?: string;
  readonly new: number;
  readonly temperature: number;
  readonly topP: number;
  readonly repetitionPenalty: number;
  readonly seed?: number;
  readonly lang?: Language;
  readonly keepHistory?: boolean;
  readonly json?: boolean;
}

export function chatCommand(): Command {
  return new Command('chat')
    .description('Chat in the terminal; from a pipe, one question a line in and one answer a line out')
    .argument('<model>', 'artefact or checkpoint folder, or a GGUF file')
    .addOption(engineOption())
    .option('--system <text>', 'instruction to the model')
    .option('--new <n>', 'longest reply in tokens', wholeNumber(1, 1_000_000), defaultNewTokens)
    .option('--temperature <t>', '0 takes the likeliest token each time', decimal(0, 2), 0)
    .option('--top-p <p>', 'sample among the likeliest tokens with this share', decimal(0, 1), 1)
    .option('--repetition-penalty <x>', 'above 1: say the same thing less often', decimal(0.1, 10), 1)
    .option('--seed <n>', 'same seed, same replies', wholeNumber(0))
    .addOption(
      new Option('--lang <language>', 'language of this program (default: from LANG)').choices(['en', 'zh']),
    )
    .option('--keep-history', 'from a pipe: each line continues the conversation')
    .option('--json', 'from a pipe: one JSON object a line')
    .addHelpText(
      'after',
      `
Examples:
  edgedesk chat out/edgedesk-base-int4
  edgedesk chat out/edgedesk-base-int4 --lang zh --system "你是一家网店的客服。"
  edgedesk chat out/edgedesk-base-int4 < questions.txt > answers.txt`,
    )
    .action(chat);
}

async function chat(model: string, options: ChatOptions): Promise<void> {
  const { openModel } = await import('../model/open-model.js');
  const engine = await openModel(model, {}, options.engine);
  const asked: ConversationOptions = {
    maxNewTokens: options.new,
    temperature: options.temperature,
    topP: options.topP,
    repetitionPenalty: options.repetitionPenalty,
    ...(options.seed === undefined ? {} : { seed: options.seed }),
    ...(options.system === undefined ? {} : { system: options.system }),
  };
  try {
    if (process.stdin.isTTY && process.stdout.isTTY && options.json !== true) {
      const { chatInteractively } = await import('../chat/interactive.js');
      await chatInteractively(engine, asked, options.lang ?? environmentLanguage());
    } else {
      const [{ chatLineByLine }, { interruptible }] = await Promise.all([
        import('../chat/line-by-line.js'),
        import('../terminal/abort.js'),
      ]);
      const failures = await interruptible((signal) =>
        chatLineByLine(
          engine,
          { ...asked, keepHistory: options.keepHistory === true, json: options.json === true, signal },
          {
            input: process.stdin,
            output: process.stdout,
            complain: (sentence) => process.stderr.write(`${sentence}\n`),
          },
        ),
      );
      if (failures > 0) process.exitCode = 1;
    }
  } finally {
    // An open pipe would keep the program alive.
    process.stdin.destroy();
    await engine.close();
  }
}
