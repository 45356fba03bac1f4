import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { repo, sha256, startHubServer } from '../../../packages/models/src/node/hub-server.case.js';
import type { HubServer } from '../../../packages/models/src/node/hub-server.case.js';
import { outcomeOf, runCli, startCli } from './run-cli.js';
import { writeTinyCheckpoint } from './tiny-checkpoint.js';

let root: string;
let server: HubServer;
let weights: Buffer;
let env: Record<string, string>;
const blobs = () => join(root, 'cache/models--acme--tiny/blobs');

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'edgedesk-pull-'));
  const folder = join(root, 'checkpoint');
  await writeTinyCheckpoint(folder);
  const files = readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))] as const);
  server = await startHubServer(new Map(files));
  weights = readFileSync(join(folder, 'model.safetensors'));
  env = { HF_ENDPOINT: server.endpoint, HF_HUB_CACHE: join(root, 'cache'), HF_TOKEN: '' };
});
afterAll(async () => {
  await server.close();
  rmSync(root, { recursive: true, force: true });
});

const cli = (...args: string[]) => runCli(args, '', env);

describe('edgedesk pull', () => {
  it('has help with examples', async () => {
    const { code, stdout } = await cli('pull', '--help');
    expect([code, stdout]).toEqual([0, expect.stringContaining('Examples:\n  edgedesk pull')]);
  });

  it.each([
    [['../x'], /^\.\.\/x: this is no name of a repository; .*\.\n$/],
    [['acme/none'], /^acme\/none@main: there is no repository acme\/none here; .*\.\n$/],
    [[repo, '--offline'], /the cache does not have all of it/],
    [[repo, '--endpoint', 'ftp://x'], /this is no address of a hub/],
    [[repo, '--file', '*.gguf'], /no file matches \*\.gguf; it has/],
    [[repo, '--token-env', 'EDGEDESK_NO_SUCH'], /it holds no token/],
  ])('%j fails in one sentence', async (args, sentence) => {
    const { code, stdout, stderr } = await cli('pull', ...args);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(sentence);
    expect(stderr).toMatch(/^[^\n]+\n$/);
  });

  it('goes on where a killed pull stood, and the model works from the cache alone', async () => {
    const half = Math.floor(weights.length / 2);
    let stalled: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => (stalled = resolve));
    server.trouble = ({ who, method }) => {
      if (who !== 'store' || method !== 'GET') return undefined;
      stalled();
      return { stallAfter: half };
    };
    const child = startCli(['pull', repo], env);
    const outcome = outcomeOf(child);
    await reached;
    const partial = () => readdirSync(blobs()).find((name) => name.startsWith(sha256(weights)));
    const size = () => (partial() === undefined ? 0 : statSync(join(blobs(), partial()!)).size);
    await expect.poll(size, { timeout: 20_000 }).toBe(half);
    child.kill('SIGKILL');
    await outcome;
    expect(existsSync(join(root, 'cache/models--acme--tiny/snapshots'))).toBe(false);
    expect((await cli('pull', repo, '--offline')).code).toBe(1);

    server.trouble = () => undefined;
    server.heard.length = 0;
    const { code, stdout, stderr } = await cli('pull', repo, '--json');
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(/^Pulling acme\/tiny: .* downloaded \(.*\)\n$/),
    ]);
    const pulled = JSON.parse(stdout) as { path: string; commit: string; downloadedBytes: number };
    expect(pulled.downloadedBytes).toBe(weights.length - half);
    expect(server.heard.filter(({ who }) => who === 'store').map(({ range }) => range)).toEqual([
      `bytes=${half}-`,
    ]);
    expect(readFileSync(join(pulled.path, 'model.safetensors')).equals(weights)).toBe(true);
    expect(readdirSync(blobs()).filter((name) => name.endsWith('.incomplete'))).toEqual([]);

    server.heard.length = 0;
    const out = join(root, 'int4');
    const compressed = await cli('compress', `hf:${repo}`, '--bits', '4', '--out', out, '--json');
    expect([compressed.code, JSON.parse(compressed.stdout)]).toMatchObject([0, { name: 'tiny' }]);
    expect((await cli('inspect', `hf:${repo}@${pulled.commit}`)).stdout).toMatch(/^tiny/);
    expect(server.heard).toEqual([]);
  });

  it('is done for an hf: model that the cache lacks, and never for a path', async () => {
    rmSync(join(root, 'cache'), { recursive: true });
    const { code, stderr } = await cli('inspect', `hf:${repo}`);
    expect([code, stderr]).toEqual([0, expect.stringContaining('downloaded')]);
    server.heard.length = 0;
    expect((await cli('inspect', repo)).stderr).toMatch(
      /^acme\/tiny: there is no such folder or file; .*hf:ORG\/NAME/,
    );
    expect((await cli('inspect', `./hf:${repo}`)).stderr).toMatch(/there is no such folder or file/);
    expect(server.heard).toEqual([]);
  });
});
