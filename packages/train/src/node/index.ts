export * from './run-recipe.js';
export type { TrainingSummary } from './training-summary.js';
