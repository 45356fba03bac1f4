import type { DecoderConfig } from '../config.js';
import type { WrittenType } from './encode-blocks.js';
import type { MetadataEntry } from './encode-metadata.js';

/** `general.quantized_by` of files that we wrote; they may be replaced. */
export const ggufWriter = 'EdgeDesk';

/** llama.cpp's names of what most weights of a file are stored as. */
const fileTypes: Readonly<Record<WrittenType, number>> = { F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 7, Q5_0: 8 };

/** The decoder as llama.cpp's loader for its architecture reads it; Mistral's models are `llama` there. */
export function modelMetadata(name: string, config: DecoderConfig, usualType: WrittenType): MetadataEntry[] {
  const architecture = config.modelType === 'mistral' ? 'llama' : config.modelType;
  const u32 = (key: string, value: number): MetadataEntry => [`${architecture}.${key}`, 'u32', value];
  const f32 = (key: string, value: number): MetadataEntry => [`${architecture}.${key}`, 'f32', value];
  return [
    ['general.architecture', 'text', architecture],
    ['general.type', 'text', 'model'],
    ['general.name', 'text', name],
    ['general.quantized_by', 'text', ggufWriter],
    ['general.file_type', 'u32', fileTypes[usualType]],
    // The layout of quantized blocks since 2023; llama.cpp refuses quantized files without it.
    ['general.quantization_version', 'u32', 2],
    u32('vocab_size', config.vocabSize),
    u32('context_length', config.contextLength),
    u32('embedding_length', config.hiddenSize),
    u32('feed_forward_length', config.intermediateSize),
    u32('block_count', config.layerCount),
    u32('attention.head_count', config.headCount),
    u32('attention.head_count_kv', config.kvHeadCount),
    u32('attention.key_length', config.headDim),
    u32('attention.value_length', config.headDim),
    u32('rope.dimension_count', config.headDim),
    f32('attention.layer_norm_rms_epsilon', config.normEpsilon),
    f32('rope.freq_base', config.ropeTheta),
  ];
}
