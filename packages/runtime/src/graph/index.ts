export * from './loop.js';
export * from './plain-decoder.js';
export * from './sampler.js';
