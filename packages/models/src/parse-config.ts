import { CheckpointError, RecipeError } from '@edgedesk/tensor';
import { z } from 'zod';
import type { DecoderConfig } from './config.js';
import type { WeightDType } from './checkpoint/write-safetensors.js';

/** Far above the largest published decoders, and small enough that no product of two sizes loses precision. */
const maxVocab = 2 ** 21;
const maxWidth = 2 ** 18;
const maxLayers = 1024;
const maxContext = 2 ** 24;
const maxEosIds = 64;

const size = (max: number) => z.int().min(1).max(max);
const tokenId = z
  .int()
  .max(maxVocab - 1)
  // Some checkpoints write -1 for "none".
  .transform((id) => (id < 0 ? null : id))
  .nullish();
const eosIds = z
  .union([
    z
      .int()
      .max(maxVocab - 1)
      .transform((id) => [id]),
    z.array(z.int().max(maxVocab - 1)).max(maxEosIds),
  ])
  .nullish()
  .transform((ids) => (ids ?? []).filter((id) => id >= 0));

const modelTypes = ['llama', 'mistral', 'qwen2', 'qwen3'] as const;

const hfConfig = z.object({
  vocab_size: size(maxVocab),
  hidden_size: size(maxWidth),
  intermediate_size: size(maxWidth * 8),
  num_hidden_layers: size(maxLayers),
  num_attention_heads: size(maxWidth),
  num_key_value_heads: size(maxWidth).nullish(),
  head_dim: size(maxWidth).multipleOf(2).nullish(),
  max_position_embeddings: size(maxContext).nullish(),
  rope_theta: z.number().positive().nullish(),
  rope_parameters: z.looseObject({ rope_theta: z.number().positive().nullish() }).nullish(),
  rms_norm_eps: z.number().positive().max(1).nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  bos_token_id: tokenId,
  eos_token_id: eosIds,
  pad_token_id: tokenId,
});

type Json = Readonly<Record<string, unknown>>;

/** What a family's configuration leaves out when it is the family's default (transformers' configuration classes). */
const defaultContext = { llama: 2048, mistral: 131_072, qwen2: 32_768, qwen3: 32_768 } as const;

/**
 * Reads a Hugging Face `config.json` of the llama, mistral, qwen2 or qwen3 family. CheckpointError naming the key when a
 * value is missing or impossible, or asks for something that our decoder does not compute.
 *
 * @param generation parsed `generation_config.json`; its `eos_token_id`s end a reply as well.
 */
export function parseConfig(json: unknown, generation?: unknown, where = 'config.json'): DecoderConfig {
  if (!isObject(json)) throw new CheckpointError('the file holds no JSON object', { where });
  const modelType = modelTypes.find((type) => type === json['model_type']);
  if (modelType === undefined) {
    throw new CheckpointError(`\`model_type\` ${show(json['model_type'])} is not supported`, {
      where,
      fix: `use a model of the families ${modelTypes.join(', ')}`,
    });
  }
  refuseUnsupported(modelType, json, where);
  const c = check(hfConfig, json, where);
  const headDim = c.head_dim ?? (modelType === 'qwen3' ? 128 : c.hidden_size / c.num_attention_heads);
  const kvHeadCount = c.num_key_value_heads ?? c.num_attention_heads;
  const fix = 'use the config.json that came with the model';
  if (!Number.isInteger(headDim) || headDim % 2 !== 0) {
    throw new CheckpointError(
      `\`hidden_size\` ${c.hidden_size} over \`num_attention_heads\` ${c.num_attention_heads} is not an even number`,
      { where, fix },
    );
  }
  if (c.num_attention_heads % kvHeadCount !== 0) {
    throw new CheckpointError(
      `\`num_key_value_heads\` ${kvHeadCount} does not divide \`num_attention_heads\` ${c.num_attention_heads}`,
      { where, fix },
    );
  }
  const generationWhere = where.replace(/config\.json$/, 'generation_config.json');
  const generationIds = generationEosIds(generation, generationWhere);
  const eosTokenIds = [...new Set([...c.eos_token_id, ...generationIds])];
  for (const id of eosTokenIds) {
    if (id >= c.vocab_size) {
      throw new CheckpointError(`\`eos_token_id\` ${id} is outside the vocabulary of ${c.vocab_size}`, {
        where: c.eos_token_id.includes(id) ? where : generationWhere,
        fix: 'use the file that came with the model',
      });
    }
  }
  return {
    modelType,
    vocabSize: c.vocab_size,
    hiddenSize: c.hidden_size,
    intermediateSize: c.intermediate_size,
    layerCount: c.num_hidden_layers,
    headCount: c.num_attention_heads,
    kvHeadCount,
    headDim,
    contextLength: c.max_position_embeddings ?? defaultContext[modelType],
    ropeTheta: c.rope_theta ?? c.rope_parameters?.rope_theta ?? 10_000,
    normEpsilon: c.rms_norm_eps ?? 1e-6,
    tiedEmbedding: c.tie_word_embeddings ?? false,
    qkvBias: modelType === 'qwen2',
    qkNorm: modelType === 'qwen3',
    bosTokenId: c.bos_token_id ?? null,
    eosTokenIds,
    padTokenId: c.pad_token_id ?? null,
  };
}

/** `generation_config.json` may be absent or of no use; only its end ids matter here. */
function generationEosIds(generation: unknown, where: string): readonly number[] {
  if (generation === undefined) return [];
  return check(z.looseObject({ eos_token_id: eosIds }), generation, where).eos_token_id;
}

function refuseUnsupported(modelType: DecoderConfig['modelType'], json: Json, where: string): void {
  const refuse = (key: string, what: string): never => {
    throw new CheckpointError(`\`${key}\` ${show(json[key])}: ${what}`, {
      where,
      fix: 'use a model without it',
    });
  };
  const isOn = (key: string): boolean => ![undefined, null, false, 0].includes(json[key] as null);
  const activation = json['hidden_act'] ?? 'silu';
  if (activation !== 'silu' && activation !== 'swish') refuse('hidden_act', 'only SiLU is supported');
  if (isOn('attention_bias')) refuse('attention_bias', 'bias on the output projection is not supported');
  if (isOn('mlp_bias')) refuse('mlp_bias', 'bias in the feed-forward layers is not supported');
  if (isOn('quantization_config')) refuse('quantization_config', 'quantized checkpoints cannot be read');
  if ((json['partial_rotary_factor'] ?? 1) !== 1) {
    refuse('partial_rotary_factor', 'partly rotated heads are not supported');
  }
  for (const key of ['rope_scaling', 'rope_parameters']) {
    const rope = json[key];
    if (rope === undefined || rope === null) continue;
    const type = isObject(rope) ? (rope['rope_type'] ?? rope['type'] ?? 'default') : rope;
    if (type !== 'default') refuse(key, 'scaled rotary positions are not supported');
  }
  const layers = json['layer_types'];
  if (Array.isArray(layers) && layers.some((type) => type !== 'full_attention')) {
    refuse('layer_types', 'only full attention is supported');
  }
  // Mistral's configuration class has a window unless the file says null.
  const window = json['sliding_window'] === undefined && modelType === 'mistral' ? 4096 : json['sliding_window'];
  const usesWindow = modelType === 'mistral' || json['use_sliding_window'] === true;
  const context = json['max_position_embeddings'] ?? defaultContext[modelType];
  if (usesWindow && typeof window === 'number' && window < (context as number)) {
    refuse('sliding_window', 'attention over a sliding window is not supported');
  }
}

const architectures = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
} as const;

const torchDTypes = { f32: 'float32', f16: 'float16', bf16: 'bfloat16' } as const;

/**
 * `config` as a Hugging Face `config.json` that transformers loads. RecipeError for a bias or norm that the family does
 * not have.
 *
 * @param dtype how the weights beside it are stored. @default 'f32'
 */
export function configJson(config: DecoderConfig, dtype: WeightDType = 'f32'): Record<string, unknown> {
  const { modelType, eosTokenIds } = config;
  if (config.qkvBias !== (modelType === 'qwen2') || config.qkNorm !== (modelType === 'qwen3')) {
    throw new RecipeError(`the family ${modelType} does not have these biases and norms in attention`, {
      where: 'modelType',
      fix: 'use qwen2 for q/k/v bias, qwen3 for q/k norms, llama or mistral for neither',
    });
  }
  return {
    architectures: [architectures[modelType]],
    model_type: modelType,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layerCount,
    num_attention_heads: config.headCount,
    num_key_value_heads: config.kvHeadCount,
    head_dim: config.headDim,
    hidden_act: 'silu',
    max_position_embeddings: config.contextLength,
    rope_theta: config.ropeTheta,
    rope_scaling: null,
    rms_norm_eps: config.normEpsilon,
    tie_word_embeddings: config.tiedEmbedding,
    attention_bias: false,
    attention_dropout: 0,
    ...(modelType === 'llama' ? { mlp_bias: false } : {}),
    ...(modelType === 'mistral' ? { sliding_window: null } : {}),
    ...(modelType === 'qwen2' || modelType === 'qwen3' ? { use_sliding_window: false } : {}),
    bos_token_id: config.bosTokenId,
    eos_token_id: eosTokenIds.length === 0 ? null : eosTokenIds.length === 1 ? eosTokenIds[0] : [...eosTokenIds],
    pad_token_id: config.padTokenId,
    torch_dtype: torchDTypes[dtype],
    use_cache: true,
  };
}

function check<T>(schema: z.ZodType<T>, json: unknown, where: string): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const key = path.length === 0 ? 'the file' : `\`${path.join('.')}\``;
  const value = path.reduce<unknown>((at, step) => (isObject(at) ? at[String(step)] : undefined), json);
  const fault = value === undefined ? 'is missing' : `${show(value)} cannot be used: ${message}`;
  throw new CheckpointError(`${key} ${fault}`, { where, fix: 'use the file that came with the model' });
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'that is missing';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
