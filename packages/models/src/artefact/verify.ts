import type { FileStore } from '@edgedesk/tensor';
import { CheckpointError } from '@edgedesk/tensor';
import type { Manifest, ManifestFile } from './manifest.js';

/** A running SHA-256, injected because platforms differ: `nodeSha256` from `/node`. */
export interface Sha256 {
  update(bytes: Uint8Array): void;
  /** 64 lower-case hexadecimal digits; ends the computation. */
  hex(): string;
}

/** Bytes read at a time: large enough for the disk, small beside any model. */
const chunkBytes = 4 * 2 ** 20;

/** Size and SHA-256 of a file, read in pieces. */
export async function fingerprint(store: FileStore, path: string, sha256: () => Sha256): Promise<ManifestFile> {
  const source = await store.open(path);
  try {
    const hash = sha256();
    for (let offset = 0; offset < source.sizeBytes; offset += chunkBytes) {
      hash.update(await source.read(offset, Math.min(chunkBytes, source.sizeBytes - offset)));
    }
    return { path, sizeBytes: source.sizeBytes, sha256: hash.hex() };
  } finally {
    await source.close();
  }
}

/** Compares every file of an artefact with its manifest; CheckpointError names the first that differs. */
export async function verifyArtefact(store: FileStore, manifest: Manifest, sha256: () => Sha256): Promise<void> {
  const fix = 'copy or download the artefact again';
  for (const expected of manifest.files) {
    const where = `${store.name}/${expected.path}`;
    if (!(await store.has(expected.path))) throw new CheckpointError('the file is missing', { where, fix });
    const source = await store.open(expected.path);
    const { sizeBytes } = source;
    await source.close();
    if (sizeBytes !== expected.sizeBytes) {
      const message = `the file has ${sizeBytes} bytes but the manifest says ${expected.sizeBytes}`;
      throw new CheckpointError(message, { where, fix });
    }
    if ((await fingerprint(store, expected.path, sha256)).sha256 !== expected.sha256) {
      throw new CheckpointError("the file's SHA-256 is not the manifest's", { where, fix });
    }
  }
}
