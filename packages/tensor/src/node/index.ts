export * from './backend.js';
export * from './files.js';
export * from './sha256.js';
export * from './write-files.js';
export * from './files.js';
export * from './write-files.js';
