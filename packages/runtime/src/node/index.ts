export * from './open-engine.js';
export { openLlamaEngine } from './llama/open-llama-engine.js';
