import { CheckpointError, type FileStore, memorySource } from '@edgedesk/tensor';

/** Files in memory as a store, for tests. */
export function memoryStore(files: Readonly<Record<string, Uint8Array | string>>): FileStore {
  const bytesOf = (path: string): Uint8Array<ArrayBuffer> => {
    const content = files[path];
    if (content === undefined) throw new CheckpointError('the file is missing', { where: path });
    return typeof content === 'string' ? new TextEncoder().encode(content) : content.slice();
  };
  return {
    name: 'memory',
    has: (path) => Promise.resolve(Object.hasOwn(files, path)),
    list: () => Promise.resolve(Object.keys(files)),
    open: async (path) => memorySource(path, bytesOf(path)),
    readBytes: async (path, maxBytes) => {
      const bytes = bytesOf(path);
      if (bytes.byteLength > maxBytes) throw new CheckpointError('the file is too large', { where: path });
      return bytes;
    },
    readText: async (path, maxBytes) => new TextDecoder('utf-8').decode(await memoryStore(files).readBytes(path, maxBytes)),
  };
}

/** Files written to memory, as the folder of a writer. */
export function memoryFolder(): {
  files: Record<string, Uint8Array>;
  writeFile(name: string, content: string): Promise<void>;
  create(name: string): Promise<{ write(offset: number, bytes: Uint8Array): Promise<void>; close(): Promise<void> }>;
} {
  const files: Record<string, Uint8Array> = {};
  return {
    files,
    writeFile: (name, content) => {
      files[name] = new TextEncoder().encode(content);
      return Promise.resolve();
    },
    create: (name) => {
      files[name] = new Uint8Array();
      return Promise.resolve({
        write(offset, bytes) {
          const old = files[name]!;
          const grown = new Uint8Array(Math.max(old.length, offset + bytes.length));
          grown.set(old);
          grown.set(bytes, offset);
          files[name] = grown;
          return Promise.resolve();
        },
        close: () => Promise.resolve(),
      });
    },
  };
}

/** Repeatable pseudo-random numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
