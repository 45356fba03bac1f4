import { readFileSync } from 'node:fs';
import process from 'node:process';
import { EdgeDeskError } from '@edgedesk/tensor';
import type { Engine } from '@edgedesk/runtime';
import { measureSpeed } from '@edgedesk/eval';
import type { SpeedAnswer, SpeedRequest } from './speed-in-child.js';

// A process of its own: its peak memory is the model's, not that of whatever the parent did before.
process.once('message', (request: SpeedRequest) => {
  void answer(request).then((message) => {
    process.send!(message, () => process.disconnect());
  });
});

async function answer({ opener, promptTokens, newTokens, repeats }: SpeedRequest): Promise<SpeedAnswer> {
  try {
    const module = (await import(opener.module)) as Record<string, (...args: unknown[]) => Promise<Engine>>;
    const open = module[opener.name];
    if (open === undefined) throw new Error(`${opener.module} exports no ${opener.name}`);
    const report = await measureSpeed({
      openEngine: () => open(...opener.args),
      promptTokens,
      newTokens,
      repeats,
      onProgress: (done, total) => process.send!({ kind: 'progress', done, total } satisfies SpeedAnswer),
    });
    return { kind: 'report', report: { ...report, peakRssBytes: peakRssBytes() } };
  } catch (error) {
    if (EdgeDeskError.isInstance(error)) {
      return { kind: 'failure', message: error.message, where: error.where, fix: error.fix };
    }
    return { kind: 'failure', message: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * Most memory this process has had resident. On Linux `maxRSS` starts at the parent's size, because it survives exec, so
 * the high-water mark of the process image is read instead.
 */
function peakRssBytes(): number {
  if (process.platform === 'linux') {
    const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    if (kilobytes !== undefined) return Number(kilobytes) * 1024;
  }
  return process.resourceUsage().maxRSS * 1024;
}
