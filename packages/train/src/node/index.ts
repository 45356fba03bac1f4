export * from './run-recipe.js';
export type { TrainingSummary } from './training-summary.js';
export type { StartQuantizer, StartRequest } from './quantized-start.js';
