export * from './linear.js';
export * from './pack.js';
export * from './stored.js';
export * from './to-dense.js';
export * from './decoder-weights.js';
export * from './level-range.js';
export * from './trained-grid.js';
export * from './join-rows.js';
