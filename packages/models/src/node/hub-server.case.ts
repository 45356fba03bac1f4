import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a server heard, so that a test can tell who was sent what. */
export interface Heard {
  /** `hub` answers for the repository, `store` holds the large files, on another host. */
  readonly who: 'hub' | 'store';
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  readonly authorization: string | undefined;
}

/** How an answer differs from the right one. */
export interface Trouble {
  readonly status?: number;
  /** `null` leaves a header out. */
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly body?: Buffer;
  /** Destroys the connection after so many bytes of the body. */
  readonly cutAfter?: number;
  /** Says no more after so many bytes of the body. */
  readonly stallAfter?: number;
  readonly ignoreRange?: boolean;
  /** Says no word at all. */
  readonly mute?: boolean;
}

export interface HubServer {
  readonly endpoint: string;
  readonly storeOrigin: string;
  readonly heard: Heard[];
  readonly commit: string;
  /** Called for each request; undefined is the right answer. */
  trouble: (heard: Heard) => Trouble | undefined;
  /** The token without which nothing is given. */
  token: string | undefined;
  close(): Promise<void>;
}

export const repo = 'acme/tiny';
export const gitSha1 = (bytes: Buffer): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

/**
 * The protocol of Hugging Face's hub on loopback, for one repository: small files come from the hub with git's sha1 as
 * their ETag, weights by a redirect to a second server (another port of `localhost`) with their sha256 in X-Linked-Etag.
 */
export async function startHubServer(files: ReadonlyMap<string, Buffer>): Promise<HubServer> {
  const commit = createHash('sha1').update([...files.keys()].join()).digest('hex');
  const isLarge = (path: string): boolean => /\.(safetensors|gguf)$/.test(path);
  const large = new Map([...files].filter(([path]) => isLarge(path)).map(([, bytes]) => [sha256(bytes), bytes]));

  const fromHub = (path: string): Answer => {
    const text = (status: number, body: string, headers = {}): Answer => ({ status, headers, body: Buffer.from(body) });
    const asked = /^\/api\/models\/acme\/tiny\/revision\/(.+)$/.exec(path);
    if (asked !== null) {
      if (![commit, 'main', 'v1'].includes(decodeURIComponent(asked[1]!))) {
        return text(404, 'Invalid rev id', { 'x-error-code': 'RevisionNotFound' });
      }
      const siblings = [...files.keys()].map((rfilename) => ({ rfilename }));
      return text(200, JSON.stringify({ id: repo, sha: commit, siblings }), { 'content-type': 'application/json' });
    }
    const wanted = /^\/acme\/tiny\/resolve\/([^/]+)\/(.+)$/.exec(path);
    if (wanted === null || ![commit, 'main'].includes(wanted[1]!)) {
      return text(404, 'Not found', { 'x-error-code': 'RepoNotFound' });
    }
    const bytes = files.get(decodeURIComponent(wanted[2]!));
    if (bytes === undefined) return text(404, 'Entry not found', { 'x-error-code': 'EntryNotFound' });
    const shared = { 'x-repo-commit': commit, 'accept-ranges': 'bytes' };
    if (!isLarge(path)) return { status: 200, headers: { ...shared, etag: `"${gitSha1(bytes)}"` }, body: bytes };
    const linked = { 'x-linked-etag': `"${sha256(bytes)}"`, 'x-linked-size': String(bytes.length) };
    const location = `${server.storeOrigin}/blob/${sha256(bytes)}?signature=1`;
    return { status: 302, headers: { ...shared, ...linked, location }, body: Buffer.from('moved') };
  };
  const fromStore = (path: string): Answer => {
    const bytes = large.get(/^\/blob\/([0-9a-f]{64})\?signature=1$/.exec(path)?.[1] ?? '');
    if (bytes === undefined) return { status: 403, headers: {}, body: Buffer.alloc(0) };
    return { status: 200, headers: { etag: `"store-${sha256(bytes).slice(0, 8)}"` }, body: bytes };
  };

  const handle = (who: Heard['who']) => (request: IncomingMessage, response: ServerResponse) => {
    const { method = '', url: path = '', headers } = request;
    const { range, authorization } = headers;
    const heard: Heard = { who, method, path, range, ifRange: headers['if-range'] as string | undefined, authorization };
    server.heard.push(heard);
    let answer = who === 'hub' ? fromHub(path) : fromStore(path);
    if (who === 'hub' && server.token !== undefined && authorization !== `Bearer ${server.token}`) {
      answer = { status: 401, headers: { 'x-error-code': 'GatedRepo' }, body: Buffer.from('gated') };
    }
    const trouble = server.trouble(heard) ?? {};
    if (trouble.mute === true) return;
    if (trouble.ignoreRange !== true) answer = ranged(answer, range, heard.ifRange);
    const body = trouble.body ?? answer.body;
    const told: Record<string, string | null> = {
      'content-length': String(body.length),
      ...answer.headers,
      ...trouble.headers,
    };
    response.writeHead(
      trouble.status ?? answer.status,
      Object.fromEntries(Object.entries(told).filter((entry): entry is [string, string] => entry[1] !== null)),
    );
    if (method === 'HEAD') return void response.end();
    const end = trouble.cutAfter ?? trouble.stallAfter;
    if (end === undefined) return void response.end(body);
    response.flushHeaders();
    response.write(body.subarray(0, end), () => {
      // What was written has left before the connection goes.
      if (trouble.cutAfter !== undefined) setTimeout(() => request.socket.destroy(), 20);
    });
  };

  const hub = createServer(handle('hub'));
  const store = createServer(handle('store'));
  const hubPort = await listen(hub);
  const storePort = await listen(store);
  const server: HubServer = {
    endpoint: `http://127.0.0.1:${hubPort}`,
    storeOrigin: `http://localhost:${storePort}`,
    heard: [],
    commit,
    trouble: () => undefined,
    token: undefined,
    close: async () => {
      for (const each of [hub, store]) {
        each.closeAllConnections();
        await new Promise((done) => each.close(done));
      }
    },
  };
  return server;
}

async function listen(server: Server): Promise<number> {
  // `localhost` may be either family; both servers stay on loopback.
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as AddressInfo).port;
}

function ranged(answer: Answer, range: string | undefined, ifRange: string | undefined): Answer {
  const start = /^bytes=(\d+)-$/.exec(range ?? '')?.[1];
  if (answer.status !== 200 || start === undefined) return answer;
  if (ifRange !== undefined && ifRange !== answer.headers['etag']) return answer;
  const from = Number(start);
  const total = answer.body.length;
  if (from >= total) {
    return { status: 416, headers: { 'content-range': `bytes */${total}` }, body: Buffer.alloc(0) };
  }
  const headers = { ...answer.headers, 'content-range': `bytes ${from}-${total - 1}/${total}` };
  return { status: 206, headers, body: answer.body.subarray(from) };
}
