export * from './config.js';
export * from './decoder/decoder.js';
export * from './linear/index.js';
export * from './weights.js';
export * from './dialogue/index.js';
export * from './decoder/expand.js';
export * from './decoder/fuse.js';
export * from './decoder/fuse-data.js';
export type { PlacedPart, PlacedUnit } from './decoder/fuse-weights.js';
