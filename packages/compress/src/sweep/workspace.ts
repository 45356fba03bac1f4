/** Where a sweep leaves what it has solved, so that it goes on there after it was killed. */
export interface Workspace {
  /** What was written whole under `name`; null when there is nothing. */
  read(name: string): Promise<Uint8Array<ArrayBuffer> | null>;
  /** All of it or nothing. */
  write(name: string, bytes: Uint8Array): Promise<void>;
}

/** A workspace that lasts as long as it is referred to. */
export function memoryWorkspace(): Workspace {
  const entries = new Map<string, Uint8Array<ArrayBuffer>>();
  return {
    read: (name) => Promise.resolve(entries.get(name)?.slice() ?? null),
    write: (name, bytes) => {
      entries.set(name, bytes.slice() as Uint8Array<ArrayBuffer>);
      return Promise.resolve();
    },
  };
}
