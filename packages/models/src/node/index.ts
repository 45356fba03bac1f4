export * from './hub.js';
export * from './open-checkpoint.js';
export * from './rows.js';
export * from './sha256.js';
export * from './save-checkpoint.js';
export { openFile, openFolder } from '@edgedesk/tensor/node';
