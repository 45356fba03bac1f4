export * from './budget.js';
export * from './checkpoint-format.js';
export * from './events.js';
export * from './run-training.js';
export * from './train-state.js';
export * from './teacher.js';
export * from './trainer.js';
