import type { Sha256 } from '@edgedesk/models';

/** SHA-256 of a text and of numbers as they lie in memory, in hexadecimal digits. */
export function fingerprintOf(
  sha256: () => Sha256,
  text: string,
  data: Iterable<Float32Array | Int32Array>,
): string {
  const hash = sha256();
  hash.update(new TextEncoder().encode(text));
  for (const { buffer, byteOffset, byteLength } of data) {
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.hex();
}
