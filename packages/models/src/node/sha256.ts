import { createHash } from 'node:crypto';
import type { Sha256 } from '../artefact/verify.js';

/** SHA-256 by Node's OpenSSL. */
export function nodeSha256(): Sha256 {
  const hash = createHash('sha256');
  return {
    update(bytes) {
      hash.update(bytes);
    },
    hex: () => hash.digest('hex'),
  };
}
