export * from './exercises.js';
