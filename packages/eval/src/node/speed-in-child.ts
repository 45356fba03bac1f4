import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { RuntimeFailure } from '@edgedesk/tensor';
import type { SpeedReport } from '@edgedesk/eval';

/** How a fresh process opens the engine: `(await import(module))[name](...args)`. */
export interface EngineOpener {
  /** A URL or package name that the child can import. */
  readonly module: string;
  /** An exported function that returns a promise of an Engine. */
  readonly name: string;
  /** Plain data. */
  readonly args: readonly unknown[];
}

export interface SpeedRequest {
  readonly opener: EngineOpener;
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly repeats: number;
}

/** What the child sends back. */
export type SpeedAnswer =
  | { readonly kind: 'progress'; readonly done: number; readonly total: number }
  | { readonly kind: 'report'; readonly report: SpeedReport }
  | {
      readonly kind: 'failure';
      readonly message: string;
      readonly where?: string | undefined;
      readonly fix?: string | undefined;
    };

export interface ChildSpeedOptions {
  readonly opener: EngineOpener;
  /** @default 256 */
  readonly promptTokens?: number;
  /** @default 64 */
  readonly newTokens?: number;
  /** @default 5 */
  readonly repeats?: number;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Ends the child. */
  readonly signal?: AbortSignal | undefined;
  /** The compiled child program. @default the one beside this module */
  readonly script?: URL;
}

/** `measureSpeed` in a fresh Node process, with that process's peak resident memory in `peakRssBytes`. */
export async function measureSpeedInChild(options: ChildSpeedOptions): Promise<SpeedReport> {
  const { opener, promptTokens = 256, newTokens = 64, repeats = 5, onProgress, signal } = options;
  signal?.throwIfAborted();
  const script = fileURLToPath(options.script ?? new URL('./speed-child.js', import.meta.url));
  const child = fork(script, [], { execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const abort = () => child.kill();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    return await new Promise<SpeedReport>((resolve, reject) => {
      let lastWords = '';
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        lastWords = (lastWords + text).slice(-2000);
      });
      child.on('message', (answer: SpeedAnswer) => {
        if (answer.kind === 'progress') onProgress?.(answer.done, answer.total);
        else if (answer.kind === 'report') resolve(answer.report);
        else reject(new RuntimeFailure(answer.message, { ...answer }));
      });
      child.once('error', reject);
      child.once('exit', (code, killed) => {
        const cause = killed === null ? `code ${code}` : killed;
        reject(
          signal?.aborted === true
            ? (signal.reason as Error)
            : new RuntimeFailure(`the process that measures speed ended with ${cause}`, {
                where: opener.name,
                fix: lastWords.trim().split('\n').at(-1) || 'check that the model fits into memory',
              }),
        );
      });
      child.send({ opener, promptTokens, newTokens, repeats } satisfies SpeedRequest);
    });
  } finally {
    signal?.removeEventListener('abort', abort);
    child.kill();
  }
}
