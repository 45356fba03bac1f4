export * from './calibration-files.js';
export * from './compress.js';
export * from './work-folder.js';
