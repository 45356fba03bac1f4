export * from './row-files.js';
export * from './speed-in-child.js';
