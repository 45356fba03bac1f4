export * from './loss-curve-html.js';
export * from './loss-curve-text.js';
