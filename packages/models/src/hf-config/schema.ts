import { CheckpointError } from '@edgedesk/tensor';
import { z } from 'zod';
import type { ModelType } from '../config.js';
import { ropeSchema } from './parse-rope.js';

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
export const eosIds = z
  .union([
    z
      .int()
      .max(maxVocab - 1)
      .transform((id) => [id]),
    z.array(z.int().max(maxVocab - 1)).max(maxEosIds),
  ])
  .nullish()
  .transform((ids) => (ids ?? []).filter((id) => id >= 0));

export const hfConfig = z.object({
  vocab_size: size(maxVocab),
  hidden_size: size(maxWidth),
  intermediate_size: size(maxWidth * 8),
  num_hidden_layers: size(maxLayers),
  num_attention_heads: size(maxWidth),
  num_key_value_heads: size(maxWidth).nullish(),
  head_dim: size(maxWidth).multipleOf(2).nullish(),
  max_position_embeddings: size(maxContext).nullish(),
  rope_theta: z.number().positive().nullish(),
  rope_local_base_freq: z.number().positive().nullish(),
  rope_scaling: ropeSchema,
  rope_parameters: ropeSchema,
  partial_rotary_factor: z.number().positive().max(1).nullish(),
  original_max_position_embeddings: size(maxContext).nullish(),
  query_pre_attn_scalar: z.number().positive().nullish(),
  layer_types: z.array(z.string()).max(maxLayers).nullish(),
  sliding_window: size(maxContext).nullish(),
  sliding_window_pattern: size(maxLayers).nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.int().min(0).max(maxContext).nullish(),
  rms_norm_eps: z.number().positive().max(1).nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  bos_token_id: tokenId,
  eos_token_id: eosIds,
  pad_token_id: tokenId,
});

export type HfConfig = z.output<typeof hfConfig>;

export type Json = Readonly<Record<string, unknown>>;

/** What a family's configuration leaves out when it is the family's default (transformers' configuration classes). */
export const familyDefaults: Readonly<Record<ModelType, Json & { readonly max_position_embeddings: number }>> = {
  llama: { max_position_embeddings: 2048 },
  // Mistral's class has a window unless the file says null.
  mistral: { max_position_embeddings: 131_072, sliding_window: 4096 },
  qwen2: { max_position_embeddings: 32_768, sliding_window: 4096, max_window_layers: 28 },
  qwen3: { max_position_embeddings: 32_768, head_dim: 128, sliding_window: 4096, max_window_layers: 28 },
  gemma3_text: {
    vocab_size: 262_208,
    hidden_size: 2304,
    intermediate_size: 9216,
    num_hidden_layers: 26,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 256,
    max_position_embeddings: 131_072,
    rope_theta: 1_000_000,
    rope_local_base_freq: 10_000,
    hidden_act: 'gelu_pytorch_tanh',
    query_pre_attn_scalar: 256,
    sliding_window: 4096,
    sliding_window_pattern: 6,
    tie_word_embeddings: true,
  },
  phi3: { max_position_embeddings: 4096, original_max_position_embeddings: 4096, rms_norm_eps: 1e-5 },
};

/** Positions that the model was made for. */
export function contextOf(modelType: ModelType, config: HfConfig): number {
  return config.max_position_embeddings ?? familyDefaults[modelType].max_position_embeddings;
}

/** The value as the schema reads it; CheckpointError naming the first key that does not fit. */
export function check<T>(schema: z.ZodType<T>, json: unknown, where: string): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const key = path.length === 0 ? 'the file' : `\`${path.join('.')}\``;
  const value = path.reduce<unknown>((at, step) => (isObject(at) ? at[String(step)] : undefined), json);
  const fault = value === undefined ? 'is missing' : `${show(value)} cannot be used: ${message}`;
  throw new CheckpointError(`${key} ${fault}`, { where, fix: 'use the file that came with the model' });
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `value` for a message. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'that is missing';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
