export { ggufLimits } from './limits.js';
export { isGguf, openGguf } from './open-gguf.js';
