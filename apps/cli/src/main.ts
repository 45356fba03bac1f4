import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { benchCommand } from './commands/bench.js';
import { chatCommand } from './commands/chat.js';
import { compressCommand } from './commands/compress.js';
import { evalCommand } from './commands/eval.js';
import { exportCommand } from './commands/export.js';
import { inspectCommand } from './commands/inspect.js';
import { pullCommand } from './commands/pull.js';
import { sensitivityCommand } from './commands/sensitivity.js';
import { serveCommand } from './commands/serve.js';
import { tourCommand } from './commands/tour.js';
import { trainCommand } from './commands/train.js';
import { interrupt, runCleanups } from './terminal/cleanup.js';
import { describeFailure, exitCode } from './terminal/failure.js';

/**
 * The `edgedesk` program: parses the arguments, runs one command, and returns the exit code. Commands load what they
 * need when they run, so that `serve` does not carry the trainer.
 */
export async function main(args: readonly string[]): Promise<number> {
  // `edgedesk ... | head` closes our stdout: there is nobody left to print for.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      runCleanups();
      process.exit(exitCode.ok);
    });
  }
  process.on('SIGINT', () => interrupt('SIGINT', exitCode.interrupted));
  process.on('SIGTERM', () => interrupt('SIGTERM', 143));
  try {
    await program().parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? exitCode.ok);
  } catch (error) {
    const { sentence, code } = describeFailure(error);
    if (sentence !== undefined) process.stderr.write(`${sentence}\n`);
    if (args.includes('--debug') && sentence !== undefined) console.error(error);
    return code;
  } finally {
    runCleanups();
  }
}

function program(): Command {
  const root = new Command('edgedesk')
    .description(
      'Compress a language model until it runs on an edge device, prove that it is still good, run it there.',
    )
    .version(version(), '-V, --version', 'print the version')
    .addHelpText(
      'after',
      `
Examples:
  edgedesk compress models/edgedesk-base --bits 4 --out out/int4
  edgedesk eval out/int4 --base models/edgedesk-base --data packs/retail/en/test/faq.jsonl
  edgedesk chat out/int4

\`edgedesk COMMAND --help\` shows more examples. MODEL is an artefact folder (from \`compress\`), a checkpoint folder
in the Hugging Face layout, a GGUF file, or hf:ORG/NAME[@REVISION][:FILE] on a hub (see \`edgedesk pull\`).
Exit codes: 0 done, 1 bad input, 2 wrong usage, 130 interrupted.`,
    );
  const commands = [
    pullCommand(),
    trainCommand(),
    compressCommand(),
    sensitivityCommand(),
    exportCommand(),
    evalCommand(),
    benchCommand(),
    chatCommand(),
    serveCommand(),
    inspectCommand(),
    tourCommand(),
  ];
  for (const command of commands)
    root.addCommand(command.option('--debug', 'print the stack trace of an error'));
  for (const command of [root, ...commands]) {
    command.exitOverride().showHelpAfterError('(--help shows what can be given.)');
  }
  return root;
}

function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
