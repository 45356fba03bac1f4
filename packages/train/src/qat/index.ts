export * from './fake-quantization.js';
export * from './quantized-weight.js';
