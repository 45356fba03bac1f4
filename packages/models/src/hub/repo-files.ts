import { HubError } from '@edgedesk/tensor';
import type { HubClient } from './client.js';
import { failureOf } from './failure.js';
import { hubLimits } from './limits.js';
import { commitPattern } from './repo-name.js';
import { withRetries } from './retry.js';
import { type Exchange, send } from './send.js';

/** A revision pinned to a commit. */
export interface Listing {
  readonly commit: string;
  readonly files: readonly string[];
}

/** What a hub says of one file before it gives it. */
export interface FileFacts {
  readonly path: string;
  readonly url: string;
  /** The blob's name in the cache and its checksum: sha256 (64 digits) of LFS files, git's sha1 (40) of others. */
  readonly etag: string;
  readonly sizeBytes: number;
}

/** Asks what a revision holds. HubError when it is not there, not ours to see, or not to be understood. */
export async function listFiles(client: HubClient, repo: string, revision: string): Promise<Listing> {
  const where = `${repo}@${revision}`;
  const url = `${client.endpoint}/api/models/${repo}/revision/${encodeURIComponent(revision)}`;
  const text = await withRetries(client, async () => {
    const exchange = await send(client, 'GET', url);
    try {
      if (exchange.status !== 200) throw failureOf(client, exchange, `the repository ${repo}`, where);
      return await readText(exchange, where);
    } finally {
      exchange.close();
    }
  });
  const listing = parseListing(text);
  if (listing !== undefined) return listing;
  throw new HubError('untrue', 'the answer is no listing of a repository', { where, fix: 'check the endpoint' });
}

async function readText(exchange: Exchange, where: string): Promise<string> {
  const decoder = new TextDecoder('utf-8');
  let text = '';
  let sizeBytes = 0;
  for await (const chunk of exchange.read()) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > hubLimits.maxListingBytes) {
      throw new HubError('untrue', `the listing has more than ${hubLimits.maxListingBytes} bytes`, {
        where,
        fix: 'check the endpoint',
      });
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function parseListing(text: string): Listing | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { sha, siblings } = (json ?? {}) as { sha?: unknown; siblings?: unknown };
  if (typeof sha !== 'string' || !commitPattern.test(sha) || !Array.isArray(siblings)) return undefined;
  const files: string[] = [];
  for (const sibling of siblings as readonly ({ rfilename?: unknown } | null)[]) {
    if (typeof sibling?.rfilename !== 'string') return undefined;
    files.push(sibling.rfilename);
  }
  return { commit: sha, files };
}

/** Asks for a file's size and checksum. HubError when it has none that we can check. */
export async function fileFacts(
  client: HubClient,
  repo: string,
  commit: string,
  path: string,
): Promise<FileFacts> {
  const where = `${repo}/${path}`;
  const url = `${client.endpoint}/${repo}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
  return withRetries(client, async () => {
    const exchange = await send(client, 'HEAD', url, { enough: (headers) => headers.get('x-linked-etag') !== null });
    exchange.close();
    const { status, headers } = exchange;
    const untrue = (message: string): never => {
      throw new HubError('untrue', message, { where, fix: 'check the endpoint' });
    };
    const linked = headers.get('x-linked-etag');
    if (linked === null && status !== 200) throw failureOf(client, exchange, 'the file', where);
    const etag = bareEtag(linked ?? headers.get('etag') ?? '');
    if (etag === undefined) return untrue('the server gives no checksum for this file (sha256 or git sha1 as its ETag)');
    const size = headers.get('x-linked-size') ?? (linked === null ? headers.get('content-length') : null) ?? '';
    const sizeBytes = Number(size);
    if (!/^\d{1,15}$/.test(size)) return untrue('the server does not say how large this file is');
    if (sizeBytes > hubLimits.maxFileBytes) return untrue(`the file is said to have ${size} bytes, which is too many`);
    const holder = headers.get('x-repo-commit') ?? commit;
    if (holder !== commit) return untrue(`the server answers for commit ${holder.slice(0, 40)}, not ${commit}`);
    return { path, url, etag, sizeBytes };
  });
}

function bareEtag(header: string): string | undefined {
  const etag = header.replace(/^W\//, '').replace(/^"|"$/g, '');
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(etag) ? etag : undefined;
}
