export { checkWeights } from './check-weights.js';
export { type Checkpoint, loadCheckpoint, readTokenizerFiles } from './load-checkpoint.js';
export { openWeights } from './open-weights.js';
export { openSafetensors, type SafetensorsFile } from './safetensors.js';
export { safetensorsLimits, type StoredTensor } from './safetensors-header.js';
export { readStored, storedShape, type StoredWeight, storedWeights, weightsByOurNames } from './stored-weights.js';
export {
  type TensorToWrite,
  type WeightDType,
  type WeightFolder,
  writeSafetensors,
  type WriteSafetensorsOptions,
} from './write-safetensors.js';
