import { CheckpointError } from '@edgedesk/tensor';
import type { DecoderConfig, ModelType } from '../config.js';
import { largestGemmaLayers } from './decoder-config.js';
import type { WrittenType } from './encode-blocks.js';
import type { MetadataEntry } from './encode-metadata.js';
import { ropeEntries } from './rope-metadata.js';

/** `general.quantized_by` of files that we wrote; they may be replaced. */
export const ggufWriter = 'EdgeDesk';

/** llama.cpp's names of what most weights of a file are stored as. */
const fileTypes: Readonly<Record<WrittenType, number>> = { F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 7, Q5_0: 8 };

const architectures: Readonly<Record<ModelType, string>> = {
  llama: 'llama',
  // llama.cpp's `llama` takes Mistral's models, too.
  mistral: 'llama',
  qwen2: 'qwen2',
  qwen3: 'qwen3',
  gemma3_text: 'gemma3',
  phi3: 'phi3',
};

/**
 * The decoder as llama.cpp's loader for its architecture reads it. CheckpointError for what llama.cpp computes otherwise;
 * `where` is the model in messages, `name` what the file calls it.
 */
export function modelMetadata(
  where: string,
  name: string,
  config: DecoderConfig,
  usualType: WrittenType,
): MetadataEntry[] {
  refuseForeign(config, where);
  const architecture = architectures[config.modelType];
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
    f32('attention.layer_norm_rms_epsilon', config.normEpsilon),
    ...ropeEntries(config, architecture, where),
    ...windowEntries(config, u32, f32),
  ];
}

function windowEntries(
  { modelType, local }: DecoderConfig,
  u32: (key: string, value: number) => MetadataEntry,
  f32: (key: string, value: number) => MetadataEntry,
): MetadataEntry[] {
  if (modelType !== 'gemma3_text' && modelType !== 'phi3') return [];
  return [
    // Phi-3's loader tells its models apart by the presence of this.
    u32('attention.sliding_window', local?.window ?? 0),
    ...(local?.ropeTheta === undefined ? [] : [f32('rope.freq_base_swa', local.ropeTheta)]),
  ];
}

/** llama.cpp takes every sixth of Gemma 3's layers for a global one. */
const gemmaPeriod = 6;

function refuseForeign({ modelType, layerCount, hiddenSize, headCount, headDim, attentionScale, local }: DecoderConfig, where: string): void {
  const refuse = (what: string): never => {
    throw new CheckpointError(`llama.cpp does not run ${modelType} with ${what}`, {
      where,
      fix: 'run this model from the artefact',
    });
  };
  if (modelType === 'gemma3_text') {
    if (local === undefined || local.layers.some((isLocal, layer) => isLocal !== ((layer + 1) % gemmaPeriod !== 0))) {
      refuse('layers other than five local ones before each global one');
    }
    const usual = (layerCount === largestGemmaLayers ? hiddenSize / headCount : headDim) ** -0.5;
    if (Math.abs((attentionScale ?? headDim ** -0.5) - usual) > 1e-9) refuse('this scale of attention');
  } else if (modelType === 'phi3') {
    if (headCount * headDim !== hiddenSize) refuse('heads that are wider together than the model');
  } else if (local !== undefined) {
    refuse('attention over a sliding window');
  }
}
