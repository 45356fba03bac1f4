import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HubError } from '@edgedesk/tensor';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { randomWeights, tinyConfig } from '../decoder/decoder.case.js';
import { parseHubModel, pullFiles } from '../hub/index.js';
import { chatMlTokenizerFiles } from '../tokenizer/chatml.js';
import type { TokenizerJson } from '../tokenizer/tokenizer-json.js';
import { cachedModel, pullModel, type PullModelOptions } from './hub.js';
import { openHubCache } from './hub-cache.js';
import { gitSha1, type HubServer, repo, sha256, startHubServer, type Trouble } from './hub-server.case.js';
import { openCheckpoint } from './open-checkpoint.js';
import { saveCheckpoint } from './save-checkpoint.js';

const config = { ...tinyConfig, vocabSize: 512 };
const weights = randomWeights(config);
const timing = { answerMs: 8000, stallMs: 8000, pauseMs: 2, maxPauseMs: 8, attempts: 4 };
const hasty = { timing: { ...timing, answerMs: 300, stallMs: 300 } };
const folder = `models--${repo.replace('/', '--')}`;

let root: string;
let server: HubServer;
let cache: string;
const files = new Map<string, Buffer>();

/** Writes the tiny checkpoint, and gives its files the names that they have in a repository. */
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'edgedesk-hub-'));
  const url = new URL('../tokenizer/fixtures/byte-level.json', import.meta.url);
  const tokenizer = JSON.parse(readFileSync(url, 'utf8')) as TokenizerJson;
  await saveCheckpoint(join(root, 'checkpoint'), {
    config,
    weights: { readF32: (name) => Promise.resolve(weights.get(name)!.slice()) },
    tokenizerFiles: chatMlTokenizerFiles(tokenizer, config.contextLength),
    maxShardBytes: 100_000,
  });
  for (const name of readdirSync(join(root, 'checkpoint'))) {
    files.set(name, readFileSync(join(root, 'checkpoint', name)));
  }
  files.set('README.md', Buffer.from('# tiny'));
  // The same bytes twice are one blob.
  files.set('onnx/copy.json', files.get('config.json')!);
});
afterAll(() => rmSync(root, { recursive: true }));

beforeEach(async () => {
  server = await startHubServer(files);
  cache = mkdtempSync(join(root, 'cache-'));
});
afterEach(() => server.close());

const settings = (more: PullModelOptions = {}): PullModelOptions => ({
  endpoint: server.endpoint,
  cache,
  timing,
  env: {},
  ...more,
});
const pull = (name: string = repo, more: PullModelOptions = {}) => pullModel(parseHubModel(name), settings(more));
const shard = (): string => [...files.keys()].filter((name) => name.startsWith('model-0')).sort()[0]!;
const shardPath = (): string => `/blob/${sha256(files.get(shard())!)}`;

/** The first `times` requests for the body of the first shard go wrong. */
function spoil(trouble: Trouble, times = 1): void {
  let left = times;
  server.trouble = ({ method, path }) =>
    method === 'GET' && path.startsWith(shardPath()) && left-- > 0 ? trouble : undefined;
}
const asked = () => server.heard.filter(({ method, path }) => method === 'GET' && path.startsWith(shardPath()));
const incomplete = () => readdirSync(join(cache, folder, 'blobs')).filter((name) => name.endsWith('.incomplete'));

async function opens(path: string): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  try {
    expect([checkpoint.name, checkpoint.config]).toEqual(['tiny', config]);
    for (const [name, values] of weights) {
      expect(Buffer.from((await checkpoint.weights.readF32(name)).buffer).equals(Buffer.from(values.buffer))).toBe(true);
    }
  } finally {
    await checkpoint.weights.close();
  }
}

async function sentenceOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof HubError)) throw error;
  return error.sentence;
}

describe('a pulled model', () => {
  it('is opened from the cache, which has the standard layout', async () => {
    const seen: number[] = [];
    const pulled = await pull(repo, { onProgress: ({ doneBytes, totalBytes }) => seen.push(doneBytes / totalBytes) });
    await opens(pulled.path);
    expect(pulled.commit).toBe(server.commit);
    expect(pulled.files.map(({ path }) => path)).not.toContain('README.md');
    expect(seen.at(-1)).toBe(1);
    const total = pulled.files.reduce((sum, file) => sum + file.sizeBytes, 0);
    expect(pulled.downloadedBytes).toBe(total);

    const base = join(cache, folder);
    expect(readFileSync(join(base, 'refs/main'), 'utf8')).toBe(server.commit);
    const link = join(base, 'snapshots', server.commit, 'config.json');
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    const names = pulled.files.map(({ path }) => files.get(path)!);
    expect(readdirSync(join(base, 'blobs')).sort()).toEqual(
      names.map((bytes, i) => (pulled.files[i]!.path.endsWith('.safetensors') ? sha256(bytes) : gitSha1(bytes))).sort(),
    );
    for (const { path } of pulled.files) {
      expect(readFileSync(join(base, 'snapshots', server.commit, path)).equals(files.get(path)!)).toBe(true);
    }
  });

  it('is not fetched twice, and is found offline by branch and by commit', async () => {
    expect(await cachedModel(parseHubModel(repo), settings())).toBeUndefined();
    const { path } = await pull();
    server.heard.length = 0;
    expect((await pull()).downloadedBytes).toBe(0);
    expect(server.heard.map(({ method }) => method)).toEqual(['GET']); // What `main` stands for now.
    await server.close();
    for (const name of [repo, `${repo}@${server.commit}`]) {
      expect((await pull(name, { offline: true })).path).toBe(path);
      expect((await pull(name, { env: { HF_HUB_OFFLINE: 'TRUE' } })).path).toBe(path);
    }
    expect(await sentenceOf(pull(`${repo}@v1`, { offline: true }))).toMatch(/cache does not have all of it/);
    expect(await sentenceOf(pull())).toMatch(/cannot be reached \(ECONNREFUSED\)/);
  });

  it('is not found offline when a shard is missing', async () => {
    await pull();
    rmSync(join(cache, folder, 'blobs', sha256(files.get(shard())!)));
    expect(await cachedModel(parseHubModel(repo), settings())).toBeUndefined();
    await opens((await pull()).path);
  });

  it('may be files by pattern, another revision, and copies where links do not work', async () => {
    const pulled = await pull(`${repo}@v1`, { files: ['*.json', 'README*'], symlinks: false });
    expect(pulled.files.map(({ path }) => path)).toEqual(expect.arrayContaining(['README.md', 'onnx/copy.json']));
    const copy = join(pulled.path, 'onnx/copy.json');
    expect(lstatSync(copy).isFile() && readFileSync(copy).equals(files.get('config.json')!)).toBe(true);
    expect(existsSync(join(cache, folder, 'refs/v1'))).toBe(true);
    expect(await sentenceOf(pull(repo, { files: ['*.gguf'] }))).toMatch(/no file matches \*\.gguf; it has chat_template\.jinja, config\.json/);
  });

  it('may be one GGUF file', async () => {
    await server.close();
    const url = new URL('../gguf/fixtures/llama.gguf', import.meta.url);
    const gguf = readFileSync(url);
    server = await startHubServer(new Map([['q/a.gguf', gguf], ['q/b.gguf', Buffer.from('b')], ['README.md', Buffer.from('')]]));
    expect(await sentenceOf(pull())).toMatch(/choose one with --file: q\/a\.gguf, q\/b\.gguf/);
    const { path } = await pull(`${repo}:q/a.gguf`);
    const checkpoint = await openCheckpoint(path);
    await checkpoint.weights.close();
    expect(checkpoint.name).toBe('a');
    expect((await pull(`${repo}:q/a.gguf`, { offline: true })).path).toBe(path);
    expect((await pull(repo, { files: ['*/a.gguf'] })).path).toBe(path);
  });

  it('takes its place from the environment', async () => {
    const env = { HF_ENDPOINT: `${server.endpoint}/`, HF_HOME: join(cache, 'home') };
    const { path } = await pullModel(parseHubModel(repo), { env, timing });
    expect(path.startsWith(join(cache, 'home/hub', folder, 'snapshots'))).toBe(true);
    const elsewhere = { ...env, HF_HUB_CACHE: join(cache, 'hub') };
    expect((await pullModel(parseHubModel(repo), { env: elsewhere, timing })).path).toContain(join(cache, 'hub'));
    await expect(pull(repo, { endpoint: 'file:///etc' })).rejects.toThrow(/no address of a hub/);
    await expect(pull(repo, { tokenEnv: 'MINE' })).rejects.toThrow(/holds no token/);
  });
});

describe('a network that fails for a while', () => {
  it('cuts: the rest is asked for on the condition that the file is the same', async () => {
    spoil({ cutAfter: 30_000 }, 2);
    const { path, downloadedBytes, files: had } = await pull();
    await opens(path);
    const etag = `"store-${sha256(files.get(shard())!).slice(0, 8)}"`;
    expect(asked().map(({ range, ifRange }) => [range, ifRange])).toEqual([
      [undefined, undefined],
      ['bytes=30000-', etag],
      ['bytes=60000-', etag],
    ]);
    expect(downloadedBytes).toBe(had.reduce((sum, file) => sum + file.sizeBytes, 0));
  });

  it('stalls in the middle, and before the first word', async () => {
    spoil({ stallAfter: 1000 });
    await opens((await pull(repo, hasty)).path);
    expect(asked().map(({ range }) => range)).toEqual([undefined, 'bytes=1000-']);
    rmSync(cache, { recursive: true });
    spoil({ mute: true });
    await opens((await pull(repo, hasty)).path);
  });

  it('limits the rate: Retry-After is honoured', async () => {
    spoil({ status: 429, headers: { 'retry-after': '1' }, body: Buffer.alloc(0) });
    const start = performance.now();
    await opens((await pull()).path);
    expect(performance.now() - start).toBeGreaterThan(990); // Not sooner than the server asked.
    spoil({ status: 429, headers: { 'retry-after': '4000' }, body: Buffer.alloc(0) });
    rmSync(cache, { recursive: true });
    expect(await sentenceOf(pull())).toMatch(/asks for fewer requests; come back in 67 minutes/);
  });

  it.each<[string, Trouble, (string | undefined)[]]>([
    ['fails', { status: 503, body: Buffer.from('busy') }, [undefined, undefined]],
    ['ignores ranges', { ignoreRange: true }, [undefined, 'bytes=9-']],
    ['gives another range', { headers: { 'content-range': 'bytes 5-10/99' } }, [undefined, 'bytes=9-', undefined]],
    ['knows no such range', { status: 416, body: Buffer.alloc(0) }, [undefined, 'bytes=9-', undefined]],
    ['gives other bytes', { body: Buffer.alloc(500, 1), headers: { 'content-length': null } }, [undefined, 'bytes=9-', 'bytes=509-', undefined]],
  ])('%s', async (_, trouble, ranges) => {
    let count = 0;
    server.trouble = ({ method, path, range }) => {
      if (method !== 'GET' || !path.startsWith(shardPath())) return undefined;
      if (trouble.status === 503) return count++ === 0 ? trouble : undefined;
      count++;
      return count === 1 ? { cutAfter: 9 } : range === undefined || count > 2 ? undefined : trouble;
    };
    await opens((await pull()).path);
    expect(asked().map(({ range }) => range)).toEqual(ranges);
  });

  it('is abandoned by the user, and by a failure of another file', async () => {
    const controller = new AbortController();
    spoil({ stallAfter: 2000 });
    const reason = new Error('enough');
    const abandoned = expect(pull(repo, { signal: controller.signal })).rejects.toBe(reason);
    const arrived = (name: string) => lstatSync(join(cache, folder, 'blobs', name)).size === 2000;
    await vi.waitFor(() => expect(incomplete().some(arrived)).toBe(true), { timeout: 7000 });
    controller.abort(reason);
    await abandoned;
    expect(incomplete()).toContain(`${sha256(files.get(shard())!)}.incomplete`);
    expect(await cachedModel(parseHubModel(repo), settings())).toBeUndefined();
    server.heard.length = 0;
    server.trouble = () => undefined;
    await opens((await pull()).path);
    // Another run does not know the store's validator: the checksum guards what is joined.
    expect(asked().map(({ range, ifRange }) => [range, ifRange])).toEqual([['bytes=2000-', undefined]]);
    expect(incomplete()).toEqual([]);
  });
});

describe('a partial file', () => {
  const blob = () => join(cache, folder, 'blobs', sha256(files.get(shard())!));
  const leave = (name: string, bytes: Buffer) => {
    mkdirSync(join(cache, folder, 'blobs'), { recursive: true });
    writeFileSync(`${blob()}${name}.incomplete`, bytes);
  };

  it('of other bytes is thrown away', async () => {
    leave('', Buffer.alloc(5000, 7));
    await opens((await pull()).path);
    expect(asked().map(({ range }) => range)).toEqual(['bytes=5000-', undefined]);
  });

  it('that is whole or too long costs no wrong request', async () => {
    const bytes = files.get(shard())!;
    leave('', bytes);
    await opens((await pull()).path);
    expect(asked()).toEqual([]);
    rmSync(cache, { recursive: true });
    leave('', Buffer.concat([bytes, bytes]));
    await opens((await pull()).path);
    expect(asked().map(({ range }) => range)).toEqual([undefined]);
  });

  it('of another living process is left alone', async () => {
    leave('.somewhere-1-0', files.get(shard())!.subarray(0, 100));
    await opens((await pull()).path);
    expect(asked().map(({ range }) => range)).toEqual([undefined]);
    expect(incomplete()).toHaveLength(1);
  });

  it('is not shared by two pulls at once', async () => {
    const [a, b] = await Promise.all([pull(), pull()]);
    expect(a.path).toBe(b.path);
    await opens(a.path);
    expect(incomplete()).toEqual([]);
  });
});

describe('a server that lies', () => {
  it.each<[string, Trouble, RegExp]>([
    ['about the bytes', { body: Buffer.alloc(100_000), headers: { 'content-length': null } }, /sends more than|sha256 is wrong/],
    ['about the size, in its head', { headers: { 'content-length': '99999999' } }, /sends 99999999 bytes where \d+ are due/],
    ['by sending more', { body: Buffer.alloc(999_999), headers: { 'content-length': null } }, /sends more than the \d+ bytes/],
    ['by ending early', { body: Buffer.alloc(10), headers: { 'content-length': null } }, /ended after|sha256 is wrong/],
    ['by compressing', { headers: { 'content-encoding': 'br' } }, /sends the file as br/],
    ['by a word we do not know', { status: 207 }, /HTTP 207/],
    ['by cutting for ever', { cutAfter: 1 }, /connection was cut; try again later: what has arrived is kept/],
    ['by stalling for ever', { stallAfter: 1 }, /nothing has come for 0\.3 seconds/],
    ['by failing for ever', { status: 500 }, /failed with HTTP 500/],
    ['by forbidding', { status: 403 }, /not given without a token/],
  ])('%s', async (_, trouble, sentence) => {
    spoil(trouble, Infinity);
    expect(await sentenceOf(pull(repo, 'stallAfter' in trouble ? hasty : {}))).toMatch(sentence);
    expect(await cachedModel(parseHubModel(repo), settings())).toBeUndefined();
    expect(existsSync(join(cache, folder, 'snapshots'))).toBe(false);
    server.trouble = () => undefined;
    await opens((await pull()).path);
  });

  it('with bytes of the right length', async () => {
    spoil({ body: Buffer.alloc(files.get(shard())!.length) }, Infinity);
    expect(await sentenceOf(pull())).toMatch(/model-00001.*the bytes that came are not the file: their sha256 is wrong/);
    expect(asked()).toHaveLength(2);
    expect(incomplete()).not.toContain(`${sha256(files.get(shard())!)}.incomplete`);
    server.trouble = ({ method, path }) =>
      method === 'GET' && path.endsWith('README.md') ? { body: Buffer.alloc(files.get('README.md')!.length) } : undefined;
    expect(await sentenceOf(pull(repo, { files: ['README.md'] }))).toMatch(/their sha1 is wrong/);
  });

  it.each<[string, Trouble, RegExp]>([
    ['no checksum', { headers: { etag: null } }, /gives no checksum/],
    ['another checksum', { headers: { etag: '"5f3a-1"' } }, /gives no checksum/],
    ['a path as checksum', { headers: { etag: '"../../../etc/passwd"' } }, /gives no checksum/],
    ['no size', { headers: { 'content-length': null } }, /does not say how large/],
    ['a huge size', { headers: { 'x-linked-size': '900000000000000' } }, /which is too many/],
    ['another commit', { headers: { 'x-repo-commit': 'a'.repeat(40) } }, /answers for commit aaaa/],
    ['a checksum of other bytes', { headers: { etag: `"${'b'.repeat(40)}"` } }, /sha1 is wrong/],
    ['more than the disk holds', { headers: { 'x-linked-size': '400000000000000' } }, /which is too many/],
    ['nearly more than the disk holds', { headers: { 'x-linked-size': '499000000000' } }, /MB are to come and [\d,]+ MB are free/],
  ])('in the head of a file: %s', async (_, trouble, sentence) => {
    server.trouble = ({ method }) => (method === 'HEAD' ? trouble : undefined);
    expect(await sentenceOf(pull(repo, { files: ['config.json'] }))).toMatch(sentence);
  });

  it.each<[string, Trouble, RegExp]>([
    ['no JSON', { body: Buffer.from('<html>') }, /no listing/],
    ['other JSON', { body: Buffer.from('null') }, /no listing/],
    ['no commit', { body: Buffer.from('{"sha":"../x","siblings":[]}') }, /no listing/],
    ['bad names', { body: Buffer.from(`{"sha":"${'a'.repeat(40)}","siblings":[{"rfilename":"../../.bashrc"}]}`) }, /could leave the cache/],
    ['too much', { body: Buffer.alloc(2 ** 24 + 1, ' ') }, /more than 16777216 bytes/],
    ['a redirect in circles', { status: 302, headers: { location: '/api/models/acme/tiny/revision/main' } }, /more than 5 times/],
    ['a redirect nowhere', { status: 302 }, /without saying where/],
    ['a redirect to a file', { status: 302, headers: { location: 'file:///etc/passwd' } }, /not encrypted/],
  ])('in the listing: %s', async (_, trouble, sentence) => {
    server.trouble = ({ path }) => (path.startsWith('/api/') ? trouble : undefined);
    expect(await sentenceOf(pull(repo, { files: ['*'] }))).toMatch(sentence);
  });
});

describe('who may have it', () => {
  it('a token goes to the hub and to nobody else', async () => {
    server.token = 'hf_secret';
    expect(await sentenceOf(pull())).toMatch(/only to those who accepted its terms; accept them on its page/);
    await opens((await pull(repo, { env: { HF_TOKEN: 'hf_secret' } })).path);
    const store = server.heard.filter(({ who }) => who === 'store');
    expect(store.length).toBeGreaterThan(0);
    expect(store.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
    rmSync(cache, { recursive: true });
    await opens((await pull(repo, { tokenEnv: 'MINE', env: { MINE: 'hf_secret', HF_TOKEN: 'other' } })).path);
    expect(await sentenceOf(pull(repo, { env: { HF_TOKEN: 'a\nb' } }))).toMatch(/what it holds is no token/);
  });

  it.each([
    ['acme/other', /there is no repository acme\/other here/],
    ['acme/tiny@v9', /acme\/tiny@v9: there is no such revision/],
  ])('%s is not there', async (name, sentence) => expect(await sentenceOf(pull(name))).toMatch(sentence));

  it.each([
    ['https://hub.example/other', undefined],
    ['http://hub.example/x', /redirects to http:\/\/hub\.example, which is not encrypted/],
    ['http://cdn.example/x', /not encrypted/],
  ])('an https hub that redirects to %s', async (location, sentence) => {
    const calls: string[] = [];
    const client = {
      endpoint: 'https://hub.example',
      token: 't',
      timing: { ...timing, progressBytes: 1 },
      fetch: (url: string) => {
        calls.push(url);
        return Promise.resolve(new Response(null, { status: calls.length > 1 ? 404 : 302, headers: { location } }) as never);
      },
    };
    const store = openHubCache(cache, 'a/b', true);
    const hash = () => ({ update: () => undefined, hex: () => '' });
    const said = await sentenceOf(pullFiles(client, store, { repo: 'a/b', revision: 'main', files: [], hash }));
    expect(said).toMatch(sentence ?? /there is no repository a\/b/);
    expect(calls).toHaveLength(sentence === undefined ? 2 : 1);
  });
});
