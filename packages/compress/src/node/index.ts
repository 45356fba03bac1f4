export * from './calibration-files.js';
export * from './compress.js';
export * from './export-model.js';
export * from './model-sensitivity.js';
export * from './quantize-for-training.js';
export * from './work-folder.js';
