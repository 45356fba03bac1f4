export * from './backend.js';
export * from './bytes.js';
export * from './dtype.js';
export * from './errors.js';
