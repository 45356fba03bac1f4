export { ggufLimits } from './limits.js';
export { isGguf, openGguf, readGgufWriter } from './open-gguf.js';
export type { AsymmetricType } from './encode-blocks.js';
export { ggufWriter } from './model-metadata.js';
export { writeGguf, type WriteGgufOptions } from './write-gguf.js';
