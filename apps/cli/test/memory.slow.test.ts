import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { printed, runCli, startCli } from './run-cli.js';
import { tinyConfig, writeTinyCheckpoint } from './tiny-checkpoint.js';

const MB = 2 ** 20;
/** Measured: 128 MB. A nursery at its default, an unused module tree or a second ONNX Runtime each cost 10 to 30 MB. */
const mostMB = 150;

const linux = process.platform === 'linux';

it.skipIf(!linux)(
  `serves a tiny model in ${mostMB} MB${linux ? '' : ' (skipped: needs /proc)'}`,
  async () => {
    const root = mkdtempSync(join(tmpdir(), 'edgedesk-memory-'));
    await writeTinyCheckpoint(join(root, 'checkpoint'), {
      ...tinyConfig,
      contextLength: 1024,
      eosTokenIds: [],
    });
    const artefact = join(root, 'tiny');
    await runCli(['compress', join(root, 'checkpoint'), '--bits', '4', '--out', artefact]);
    const child = startCli(['serve', artefact, '--port', '0', '--json']);
    try {
      const [line] = await printed(child, 'stdout', /^.*\n/);
      const { url, model } = JSON.parse(line) as { url: string; model: string };
      for (let i = 0; i < 5; i++) {
        const content = `${i} ${'Where is my order? 我的订单在哪里？'.repeat(8)}`;
        const answer = await fetch(`${url}/v1/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ model, messages: [{ role: 'user', content }], max_tokens: 64 }),
        });
        expect(answer.status).toBe(200);
        await answer.json();
      }
      expect(peakBytes(child.pid!) / MB).toBeLessThan(mostMB);
    } finally {
      child.kill('SIGKILL');
      rmSync(root, { recursive: true, force: true });
    }
  },
);

/** The most memory that the process has had resident. */
function peakBytes(pid: number): number {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
  return Number(kilobytes) * 1024;
}
