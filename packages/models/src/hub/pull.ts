import type { HubClient } from './client.js';
import { type BlobHash, downloadBlob, type PartialBlob } from './download-blob.js';
import { chooseFiles } from './file-choice.js';
import { hubLimits } from './limits.js';
import { type FileFacts, fileFacts, listFiles } from './repo-files.js';

/** One repository's part of a cache. */
export interface HubStore {
  /** The files of a snapshot that are there, whole. */
  snapshotFiles(commit: string): Promise<readonly string[]>;
  hasBlob(etag: string, sizeBytes: number): Promise<boolean>;
  /** HubError when the disk has no room for what is missing of these. */
  reserve(blobs: readonly FileFacts[]): Promise<void>;
  openPartial(etag: string): Promise<PartialBlob>;
  /** Makes a blob a file of a snapshot. */
  place(commit: string, path: string, etag: string): Promise<void>;
  /** Remembers what a branch or tag stands for. */
  setRef(revision: string, commit: string): Promise<void>;
}

export interface PullProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** From the mean speed of what has come over the network. */
  readonly secondsLeft?: number;
}

export interface PullOptions {
  readonly repo: string;
  readonly revision: string;
  /** Patterns of files; empty: what the loader reads. */
  readonly files: readonly string[];
  readonly hash: (algorithm: 'sha256' | 'sha1') => BlobHash;
  readonly onProgress?: (progress: PullProgress) => void;
}

export interface Pulled {
  readonly commit: string;
  readonly files: readonly string[];
  /** What came over the network. */
  readonly downloadedBytes: number;
}

/**
 * Brings the files of a revision into a cache. They become visible when all are there, weights last, and the revision's
 * name after them: who finds weights in a snapshot finds the rest. HubError when that fails; what has arrived stays.
 */
export async function pullFiles(client: HubClient, store: HubStore, options: PullOptions): Promise<Pulled> {
  const { repo, revision } = options;
  const { commit, files } = await listFiles(client, repo, revision);
  const chosen = chooseFiles(files, options.files, `${repo}@${revision}`);
  const present = new Set(await store.snapshotFiles(commit));
  const missing = chosen.filter((path) => !present.has(path));
  const facts = await mapTogether(client, missing, (own, path) => fileFacts(own, repo, commit, path));
  const blobs: FileFacts[] = [];
  for (const file of new Map(facts.map((file) => [file.etag, file])).values()) {
    if (!(await store.hasBlob(file.etag, file.sizeBytes))) blobs.push(file);
  }
  await store.reserve(blobs);
  const meter = new Meter(blobs, options.onProgress);
  await mapTogether(client, blobs, async (own, file) =>
    downloadBlob(own, file, {
      partial: await store.openPartial(file.etag),
      hash: options.hash,
      onBytes: (bytes) => meter.update(file, bytes),
    }),
  );
  for (const { path, etag } of facts) await store.place(commit, path, etag);
  await store.setRef(revision, commit);
  return { commit, files: chosen, downloadedBytes: meter.receivedBytes };
}

/** Works on a few items at a time; the first failure stops the others, which keep what they have. */
async function mapTogether<T, R>(
  client: HubClient,
  items: readonly T[],
  work: (client: HubClient, item: T) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(items.length);
  const controller = new AbortController();
  const pass = (): void => controller.abort(client.signal?.reason);
  client.signal?.throwIfAborted();
  client.signal?.addEventListener('abort', pass, { once: true });
  const own = { ...client, signal: controller.signal };
  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    while (next < items.length && failure === undefined) {
      const index = next++;
      try {
        results[index] = await work(own, items[index]!);
      } catch (error) {
        failure ??= { error };
        controller.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(items.length, hubLimits.concurrency) }, worker));
  client.signal?.removeEventListener('abort', pass);
  if (failure !== undefined) throw failure.error;
  return results;
}

class Meter {
  receivedBytes = 0;
  readonly #bytes = new Map<string, number>();
  readonly #totalBytes: number;
  readonly #start = performance.now();

  constructor(
    files: readonly FileFacts[],
    private readonly onProgress: PullOptions['onProgress'],
  ) {
    this.#totalBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  }

  update({ etag }: FileFacts, bytes: number): void {
    const before = this.#bytes.get(etag);
    this.#bytes.set(etag, bytes);
    // The first word on a file is what an earlier run left.
    if (before !== undefined && bytes > before) this.receivedBytes += bytes - before;
    const doneBytes = [...this.#bytes.values()].reduce((sum, value) => sum + value, 0);
    const perSecond = this.receivedBytes / ((performance.now() - this.#start) / 1000);
    const totalBytes = this.#totalBytes;
    this.onProgress?.({
      doneBytes,
      totalBytes,
      ...(perSecond > 0 ? { secondsLeft: (totalBytes - doneBytes) / perSecond } : {}),
    });
  }
}
