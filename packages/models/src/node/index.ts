export * from './rows.js';
export * from './sha256.js';
