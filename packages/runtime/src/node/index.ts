export * from './open-engine.js';
