export * from './backend.js';
export * from './files.js';
export * from './write-files.js';
