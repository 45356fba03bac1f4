export * from './compress.js';
