import { CheckpointError } from '@edgedesk/tensor';
import type { DecoderConfig } from '../config.js';
import { parseConfig } from '../parse-config.js';
import { type Metadata, shortestReal } from './metadata.js';
import type { GgufContainer } from './read-container.js';
import { type RopeDivisors, ropeJson } from './rope-metadata.js';
import type { SpecialIds } from './special-ids.js';

/** llama.cpp's architectures that our decoder computes; Mistral's models are `llama` there. */
const architectures = ['llama', 'qwen2', 'qwen3', 'gemma3', 'phi3'] as const;

/**
 * The decoder that a GGUF file describes, checked by the same rules as a Hugging Face `config.json`. CheckpointError
 * naming the metadata key when one is missing or asks for something that our decoder does not compute.
 */
export function decoderConfig(
  { metadata, tensors }: GgufContainer,
  ids: SpecialIds,
  divisors: RopeDivisors,
): DecoderConfig {
  const { where } = metadata;
  const named = metadata.text('general.architecture');
  const architecture = architectures.find((known) => known === named);
  if (architecture === undefined) {
    throw new CheckpointError(`the architecture \`${(named ?? '').slice(0, 80)}\` is not supported`, {
      where,
      fix: `use a model of the architectures ${architectures.join(', ')}`,
    });
  }
  refuseUnfinished(metadata);
  const key = (name: string): string => `${architecture}.${name}`;
  const required = (name: string, value: number | undefined): number => {
    if (value !== undefined) return value;
    throw new CheckpointError(`the metadata key \`${key(name)}\` is missing`, { where, fix: 'convert the model again' });
  };
  const count = (name: string): number => required(name, metadata.countOfEveryLayer(key(name)));
  const embedding = tensors.get('token_embd.weight');
  if (embedding === undefined || embedding.shape.length !== 2) {
    throw new CheckpointError('the tensor `token_embd.weight` is missing or no matrix', {
      where,
      fix: 'download the file again',
    });
  }
  const hiddenSize = count('embedding_length');
  const headCount = count('attention.head_count');
  const headDim = metadata.count(key('attention.key_length')) ?? hiddenSize / headCount;
  const context = count('context_length');
  refuseUnsupported(metadata, key, headDim, context);
  const json = {
    ...familyJson(metadata, key, { hiddenSize, headCount, headDim }),
    model_type: architecture === 'gemma3' ? 'gemma3_text' : architecture,
    vocab_size: embedding.shape[0],
    hidden_size: hiddenSize,
    intermediate_size: count('feed_forward_length'),
    num_hidden_layers: count('block_count'),
    num_attention_heads: headCount,
    num_key_value_heads: metadata.countOfEveryLayer(key('attention.head_count_kv')) ?? headCount,
    head_dim: headDim,
    max_position_embeddings: context,
    rope_theta: shortestReal(metadata.real(key('rope.freq_base')) ?? 10_000),
    rope_scaling: ropeJson(metadata, key, divisors),
    original_max_position_embeddings: metadata.count(key('rope.scaling.original_context_length')),
    partial_rotary_factor: (metadata.count(key('rope.dimension_count')) ?? headDim) / headDim,
    rms_norm_eps: shortestReal(
      required('attention.layer_norm_rms_epsilon', metadata.real(key('attention.layer_norm_rms_epsilon'))),
    ),
    tie_word_embeddings: !tensors.has('output.weight'),
    bos_token_id: ids.bos,
    eos_token_id: ids.ends,
    pad_token_id: ids.pad,
  };
  return parseConfig(json, undefined, where);
}

/** What only Gemma 3 and Phi-3 have, as transformers writes it. */
function familyJson(
  metadata: Metadata,
  key: (name: string) => string,
  { hiddenSize, headCount, headDim }: { hiddenSize: number; headCount: number; headDim: number },
): Record<string, unknown> {
  const architecture = key('');
  // Phi-3's files say 0 for none.
  const window = metadata.countOfEveryLayer(key('attention.sliding_window')) || null;
  if (architecture === 'phi3.') return { sliding_window: window };
  if (architecture !== 'gemma3.') return {};
  const layers = metadata.count(key('block_count'));
  const local = metadata.real(key('rope.freq_base_swa'));
  return {
    hidden_activation: 'gelu_pytorch_tanh',
    sliding_window: window,
    sliding_window_pattern: metadata.count(key('attention.sliding_window_pattern')) ?? 6,
    rope_local_base_freq: local === undefined ? 10_000 : shortestReal(local),
    // llama.cpp knows the 27B by its layers: it alone scales by the width of a head's share, not of a head.
    query_pre_attn_scalar: layers === largestGemmaLayers ? hiddenSize / headCount : headDim,
  };
}

/** Layers of Gemma 3 27B. */
export const largestGemmaLayers = 62;

/** A file of a split model holds a part of the tensors; an adapter or projector holds no decoder. */
function refuseUnfinished(metadata: Metadata): void {
  const { where } = metadata;
  if ((metadata.count('split.count') ?? 1) > 1) {
    throw new CheckpointError('the file is one part of a split model', {
      where,
      fix: 'join the parts with `llama-gguf-split --merge`',
    });
  }
  const type = metadata.text('general.type') ?? 'model';
  if (type !== 'model') {
    throw new CheckpointError(`the file holds a \`${type.slice(0, 80)}\`, not a model`, { where, fix: 'name the model' });
  }
}

/** CheckpointError for settings that change what the decoder computes. */
function refuseUnsupported(
  metadata: Metadata,
  key: (name: string) => string,
  headDim: number,
  context: number,
): void {
  const refuse = (name: string, why: string): never => {
    throw new CheckpointError(`\`${key(name)}\` is set, and ${why}`, {
      where: metadata.where,
      fix: 'use a model without it',
    });
  };
  const architecture = key('');
  const isPhi = architecture === 'phi3.';
  const isGemma = architecture === 'gemma3.';
  const rotated = metadata.count(key('rope.dimension_count')) ?? headDim;
  if (rotated > headDim || (rotated !== headDim && !isPhi)) {
    refuse('rope.dimension_count', 'partly rotated heads are not supported in this family');
  }
  if ((metadata.count(key('attention.value_length')) ?? headDim) !== headDim) {
    refuse('attention.value_length', 'values of another size than keys are not supported');
  }
  if ((metadata.count(key('expert_count')) ?? 0) > 0) refuse('expert_count', 'mixtures of experts are not supported');
  const window = metadata.countOfEveryLayer(key('attention.sliding_window')) ?? 0;
  if (window > 0 && window < context && !isPhi && !isGemma) {
    refuse('attention.sliding_window', 'attention over a sliding window is not supported in this family');
  }
  if (metadata.flag(key('attention.causal')) === false) refuse('attention.causal', 'only causal attention is supported');
  const scale = metadata.real(key('attention.scale')) ?? 0;
  if (scale !== 0 && Math.abs(scale * Math.sqrt(headDim) - 1) > 1e-5) {
    refuse('attention.scale', 'only the usual scale of attention is supported');
  }
  for (const name of ['final_logit_softcapping', 'attn_logit_softcapping']) {
    if ((metadata.real(key(name)) ?? 0) !== 0) refuse(name, 'capped logits are not supported');
  }
  for (const name of ['logit_scale', 'embedding_scale', 'residual_scale']) {
    const value = metadata.real(key(name)) ?? 0;
    if (value !== 0 && value !== 1) refuse(name, 'that factor is not supported');
  }
}
