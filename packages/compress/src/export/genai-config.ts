import type { DecoderConfig } from '@edgedesk/models';

/** `generation_config.json` as far as it matters here; unknown keys pass through. */
export type GenerationConfig = Readonly<Record<string, unknown>>;

/** onnxruntime-genai's `genai_config.json` for a decoder in `modelPath`. */
export function genaiConfig(
  config: DecoderConfig,
  modelPath: string,
  generation: GenerationConfig,
): Record<string, unknown> {
  const number = (key: string, fallback: number): number => {
    const value = generation[key];
    return typeof value === 'number' && Number.isFinite(value) ? value : fallback;
  };
  const eos = config.eosTokenIds;
  const firstEos = eos[0] ?? 0;
  return {
    model: {
      type: config.modelType,
      bos_token_id: config.bosTokenId ?? firstEos,
      eos_token_id: eos.length === 1 ? firstEos : eos,
      pad_token_id: config.padTokenId ?? firstEos,
      context_length: config.contextLength,
      vocab_size: config.vocabSize,
      decoder: {
        filename: modelPath,
        session_options: { log_id: 'onnxruntime-genai', provider_options: [] },
        hidden_size: config.hiddenSize,
        head_size: config.headDim,
        num_attention_heads: config.headCount,
        num_hidden_layers: config.layerCount,
        num_key_value_heads: config.kvHeadCount,
        inputs: {
          input_ids: 'input_ids',
          attention_mask: 'attention_mask',
          past_key_names: 'past_key_values.%d.key',
          past_value_names: 'past_key_values.%d.value',
        },
        outputs: {
          logits: 'logits',
          present_key_names: 'present.%d.key',
          present_value_names: 'present.%d.value',
        },
      },
    },
    search: {
      diversity_penalty: 0,
      do_sample: generation.do_sample === true,
      early_stopping: true,
      length_penalty: 1,
      max_length: config.contextLength,
      min_length: 0,
      no_repeat_ngram_size: 0,
      num_beams: 1,
      num_return_sequences: 1,
      past_present_share_buffer: true,
      repetition_penalty: number('repetition_penalty', 1),
      temperature: number('temperature', 1),
      top_k: number('top_k', 50),
      top_p: number('top_p', 1),
    },
  };
}
