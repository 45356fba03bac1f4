export * from './loop-names.js';
export * from './loop.js';
export * from './plain-decoder.js';
export * from './sampler.js';
