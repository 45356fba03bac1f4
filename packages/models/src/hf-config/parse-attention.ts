import { CheckpointError } from '@edgedesk/tensor';
import type { DecoderConfig, LocalAttention, ModelType } from '../config.js';
import { parseRope } from './parse-rope.js';
import { contextOf, type HfConfig, show } from './schema.js';

/** What of a head is rotated, and how; nothing where that is all, and plainly. */
export function rotaryOf(modelType: ModelType, c: HfConfig, headDim: number, where: string): Partial<DecoderConfig> {
  const key = c.rope_scaling ? 'rope_scaling' : 'rope_parameters';
  const rope = c.rope_scaling ?? c.rope_parameters ?? {};
  const share = rope.partial_rotary_factor ?? c.partial_rotary_factor ?? 1;
  const rotaryDim = Math.trunc(headDim * share + 1e-6);
  if (rotaryDim === 0 || rotaryDim % 2 !== 0) {
    throw new CheckpointError(`\`partial_rotary_factor\` ${share} of a head of ${headDim} is not an even number`, {
      where,
      fix: 'use the config.json that came with the model',
    });
  }
  const isOldPhi = modelType === 'phi3' && (rope.rope_type ?? rope.type) === 'yarn';
  const ropeScaling = parseRope(isOldPhi ? { ...rope, rope_type: 'longrope' } : rope, {
    contextLength: contextOf(modelType, c),
    originalContext: c.original_max_position_embeddings ?? undefined,
    rotaryDim,
    key,
    where,
  });
  return { ...(rotaryDim === headDim ? {} : { rotaryDim }), ...(ropeScaling === undefined ? {} : { ropeScaling }) };
}

/** Which layers see a window only; nothing where none does, or the window is as long as the context. */
export function localOf(
  modelType: ModelType,
  c: HfConfig,
  ropeTheta: number | undefined,
  where: string,
): { local?: LocalAttention } {
  const layers = localLayers(modelType, c, where);
  const window = c.sliding_window ?? Infinity;
  const context = contextOf(modelType, c);
  const own = modelType === 'gemma3_text' && ropeTheta !== undefined ? { ropeTheta } : {};
  // Layers that rotate in another way are local however short the context is.
  if (!layers.includes(true) || (window >= context && own.ropeTheta === undefined)) return {};
  return { local: { window: Math.min(window, context), layers, ...own } };
}

function localLayers(modelType: ModelType, c: HfConfig, where: string): boolean[] {
  const count = c.num_hidden_layers;
  const every = (isLocal: (layer: number) => boolean): boolean[] => Array.from({ length: count }, (_, i) => isLocal(i));
  if (modelType === 'llama') {
    if (c.layer_types?.some((type) => type !== 'full_attention')) {
      throw new CheckpointError('`layer_types`: only full attention is supported in this family', {
        where,
        fix: 'use a model without it',
      });
    }
    return every(() => false);
  }
  const slides = modelType === 'qwen2' || modelType === 'qwen3' ? c.use_sliding_window === true : true;
  if (!slides || typeof c.sliding_window !== 'number') return every(() => false);
  if (modelType === 'mistral' || modelType === 'phi3') return every(() => true);
  const { layer_types: types } = c;
  if (types && types.length !== count) {
    throw new CheckpointError(`\`layer_types\` has ${types.length} entries for ${count} layers`, {
      where,
      fix: 'use the config.json that came with the model',
    });
  }
  const unknown = types?.find((type) => type !== 'full_attention' && type !== 'sliding_attention');
  if (unknown !== undefined) {
    throw new CheckpointError(`\`layer_types\` ${show(unknown)} is not supported`, { where, fix: 'use a model without it' });
  }
  if (types) return types.map((type) => type === 'sliding_attention');
  if (modelType === 'gemma3_text') return every((layer) => (layer + 1) % (c.sliding_window_pattern ?? 6) !== 0);
  return every((layer) => layer >= (c.max_window_layers ?? 28));
}

/** What all of Gemma 3's text models share. */
export function gemmaOf(c: HfConfig, headDim: number): Partial<DecoderConfig> {
  const scalar = c.query_pre_attn_scalar ?? 256;
  return {
    ...(scalar === headDim ? {} : { attentionScale: 1 / Math.sqrt(scalar) }),
    embeddingScale: Math.sqrt(c.hidden_size),
    activation: 'gelu',
    outputNorms: true,
  };
}

