import { RecipeError } from '@edgedesk/tensor';
import type { DecoderConfig, ModelType } from '../config.js';
import type { WeightDType } from '../checkpoint/write-safetensors.js';
import { ropeScalingJson } from './parse-rope.js';

const architectures: Readonly<Record<ModelType, string>> = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
  gemma3_text: 'Gemma3ForCausalLM',
  phi3: 'Phi3ForCausalLM',
};

const torchDTypes = { f32: 'float32', f16: 'float16', bf16: 'bfloat16' } as const;

/**
 * `config` as a Hugging Face `config.json` that transformers loads. RecipeError for what the family does not have.
 *
 * @param dtype how the weights beside it are stored. @default 'f32'
 */
export function configJson(config: DecoderConfig, dtype: WeightDType = 'f32'): Record<string, unknown> {
  refuseForeign(config);
  const { modelType, eosTokenIds, rotaryDim, headDim } = config;
  return {
    architectures: [architectures[modelType]],
    model_type: modelType,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layerCount,
    num_attention_heads: config.headCount,
    num_key_value_heads: config.kvHeadCount,
    head_dim: headDim,
    ...(modelType === 'gemma3_text' ? { hidden_activation: 'gelu_pytorch_tanh' } : { hidden_act: 'silu' }),
    max_position_embeddings: config.contextLength,
    rope_theta: config.ropeTheta,
    rope_scaling: config.ropeScaling === undefined ? null : ropeScalingJson(config.ropeScaling),
    ...(rotaryDim === undefined ? {} : { partial_rotary_factor: rotaryDim / headDim }),
    rms_norm_eps: config.normEpsilon,
    tie_word_embeddings: config.tiedEmbedding,
    attention_bias: false,
    attention_dropout: 0,
    ...familyKeys(config),
    bos_token_id: config.bosTokenId,
    eos_token_id: eosTokenIds.length === 0 ? null : eosTokenIds.length === 1 ? eosTokenIds[0] : [...eosTokenIds],
    pad_token_id: config.padTokenId,
    torch_dtype: torchDTypes[dtype],
    use_cache: true,
  };
}

function familyKeys(config: DecoderConfig): Record<string, unknown> {
  const { local } = config;
  const layerTypes = local?.layers.map((isLocal) => (isLocal ? 'sliding_attention' : 'full_attention'));
  switch (config.modelType) {
    case 'llama':
      return { mlp_bias: false };
    case 'mistral':
      return { sliding_window: local?.window ?? null };
    case 'phi3': {
      const { ropeScaling: scaling } = config;
      const original = scaling?.kind === 'longrope' ? scaling.originalContext : config.contextLength;
      return { sliding_window: local?.window ?? null, original_max_position_embeddings: original };
    }
    case 'qwen2':
    case 'qwen3':
      return local === undefined
        ? { use_sliding_window: false }
        : { use_sliding_window: true, sliding_window: local.window, layer_types: layerTypes };
    case 'gemma3_text':
      return {
        query_pre_attn_scalar: config.attentionScale === undefined ? config.headDim : Number((config.attentionScale ** -2).toPrecision(12)),
        sliding_window: local?.window ?? config.contextLength,
        layer_types: layerTypes ?? new Array<string>(config.layerCount).fill('full_attention'),
        rope_local_base_freq: local?.ropeTheta ?? config.ropeTheta,
        final_logit_softcapping: null,
        attn_logit_softcapping: null,
      };
  }
}

/** RecipeError for what transformers' class of the family would not compute. */
function refuseForeign(config: DecoderConfig): void {
  const { modelType, hiddenSize, local, ropeScaling } = config;
  const refuse = (what: string, fix: string): never => {
    throw new RecipeError(`the family ${modelType} does not have ${what}`, { where: 'modelType', fix });
  };
  const gemma = modelType === 'gemma3_text';
  if (config.qkvBias !== (modelType === 'qwen2') || config.qkNorm !== (modelType === 'qwen3' || gemma)) {
    refuse(
      'these biases and norms in attention',
      'use qwen2 for q/k/v bias, qwen3 for q/k norms, llama or mistral for neither',
    );
  }
  const fix = 'use the family that the model was made for';
  const scale = gemma ? Math.sqrt(hiddenSize) : 1;
  const likeGemma = config.outputNorms === true && config.activation === 'gelu';
  const unlikeGemma = config.outputNorms !== true && config.activation !== 'gelu';
  if ((gemma ? !likeGemma : !unlikeGemma) || (config.embeddingScale ?? 1) !== scale) {
    refuse('these norms, embeddings and activation', fix);
  }
  if (config.attentionScale !== undefined && !gemma) refuse('a scale of attention of its own', fix);
  if (config.rotaryDim !== undefined && modelType !== 'phi3') refuse('partly rotated heads', fix);
  if (modelType === 'phi3' && ropeScaling !== undefined && ropeScaling.kind !== 'longrope') {
    refuse(`rotary scaling of the kind ${ropeScaling.kind}`, fix);
  }
  const everywhere = local?.layers.every((isLocal) => isLocal) ?? true;
  const someLayers = modelType === 'qwen2' || modelType === 'qwen3' || gemma;
  if (local !== undefined && (modelType === 'llama' || (!everywhere && !someLayers))) refuse('these local layers', fix);
}
