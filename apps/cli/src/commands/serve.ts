import { Command } from 'commander';
import { exitCode, Interrupted } from '../terminal/failure.js';
import { wholeNumber } from '../terminal/numbers.js';
import { engineOption } from '../model/engine-choice.js';
import type { EngineName } from '../model/engine-choice.js';

interface ServeOptions {
  readonly engine: EngineName;
  readonly host: string;
  readonly port: number;
  readonly apiKey?: string;
  readonly cors?: string[];
  readonly parallel: number;
  readonly queue: number;
  readonly timeout: number;
  readonly cache: number;
  readonly json?: boolean;
}

export function serveCommand(): Command {
  return new Command('serve')
    .description("Answer over HTTP: OpenAI's API under /v1 and a chat page at /")
    .argument('<model>', 'artefact or checkpoint folder, or a GGUF file')
    .addOption(engineOption())
    .option('--port <n>', 'port; 0 takes a free one', wholeNumber(0, 65535), 8080)
    .option('--host <address>', 'address to listen on; 0.0.0.0 opens the server to the network', '127.0.0.1')
    .option('--api-key <key>', 'ask for this key on /v1 (also from EDGEDESK_API_KEY)')
    .option('--cors <origin...>', 'let pages of these sites call the API')
    .option('--parallel <n>', 'replies written at once', wholeNumber(1, 64), 4)
    .option('--queue <n>', 'requests that may wait; more get 429', wholeNumber(0, 10_000), 16)
    .option(
      '--cache <mb>',
      'memory for the beginnings of conversations, so that they are not read again',
      wholeNumber(0, 65536),
      16,
    )
    .option('--timeout <seconds>', 'longest time for one reply', wholeNumber(1, 3600), 120)
    .option('--json', 'print {"url", "model"} when ready')
    .addHelpText(
      'after',
      `
Examples:
  edgedesk serve out/edgedesk-base-int4
  edgedesk serve out/edgedesk-base-int4 --port 9000 --api-key "$KEY" --host 0.0.0.0
  curl localhost:8080/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"messages":[{"role":"user","content":"How can I return an item?"}]}'`,
    )
    .action(serve);
}

async function serve(model: string, options: ServeOptions): Promise<void> {
  const [{ openModel }, { startServer, isLoopback }, { onInterrupt }] = await Promise.all([
    import('../model/open-model.js'),
    import('@edgedesk/server'),
    import('../terminal/cleanup.js'),
  ]);
  const apiKey = options.apiKey ?? (process.env.EDGEDESK_API_KEY || undefined);
  const engine = await openModel(model, { prefixCacheBytes: options.cache * 1e6 }, options.engine);
  const server = await startServer(engine, {
    host: options.host,
    port: options.port,
    running: options.parallel,
    waiting: options.queue,
    requestMs: options.timeout * 1000,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(options.cors === undefined ? {} : { cors: options.cors }),
  });
  if (!isLoopback(options.host)) {
    const who = apiKey === undefined ? ' without a key (set one with --api-key)' : '';
    process.stderr.write(
      `Anyone who can reach ${options.host} can use this server${who}; it speaks plain HTTP.\n`,
    );
  }
  process.stdout.write(
    options.json === true
      ? `${JSON.stringify({ url: server.url, model: engine.info.name })}\n`
      : `${engine.info.name} answers at ${server.url} (chat page) and ${server.url}/v1 (OpenAI's API). Ctrl-C ends.\n`,
  );
  const code = await new Promise<number>((resolve) => {
    const release = onInterrupt((code) => {
      release();
      resolve(code);
    });
  });
  process.stderr.write('Stopping: running replies are finished first; a second Ctrl-C ends at once.\n');
  await server.stop();
  await engine.close();
  // Whoever runs a service stops it by SIGTERM: that is its good end.
  if (code === exitCode.interrupted) throw new Interrupted();
}
