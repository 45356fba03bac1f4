/** Random access to bytes that may be larger than memory: a file, a blob, an HTTP range. */
export interface ByteSource {
  /** For messages: a path or URL. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Exactly `length` bytes from `offset`, in a buffer the caller owns; rejects when they are not there. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** A folder of files, read only: a checkpoint or an artefact, on disk or behind a URL. */
export interface FileStore {
  /** For messages: the folder's path or URL. */
  readonly name: string;
  has(path: string): Promise<boolean>;
  list(): Promise<readonly string[]>;
  open(path: string): Promise<ByteSource>;
  /** Whole file; rejects with a CheckpointError when missing or larger than `maxBytes`. */
  readBytes(path: string, maxBytes: number): Promise<Uint8Array<ArrayBuffer>>;
  readText(path: string, maxBytes: number): Promise<string>;
}

/** `bytes` as a ByteSource. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    sizeBytes: bytes.byteLength,
    read(offset, length) {
      if (offset < 0 || offset + length > bytes.byteLength) {
        return Promise.reject(new RangeError(`${name}: ${length} bytes at ${offset} lie past its end`));
      }
      return Promise.resolve(bytes.slice(offset, offset + length) as Uint8Array<ArrayBuffer>);
    },
    close: () => Promise.resolve(),
  };
}
