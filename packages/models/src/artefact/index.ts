export * from './manifest.js';
export * from './verify.js';
