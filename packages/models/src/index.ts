export * from './config.js';
export * from './decoder/decoder.js';
export * from './linear/linear.js';
export * from './weights.js';
export * from './dialogue/index.js';
export * from './decoder/expand.js';
