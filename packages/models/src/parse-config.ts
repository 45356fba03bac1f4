import { CheckpointError } from '@edgedesk/tensor';
import { z } from 'zod';
import { type DecoderConfig, type ModelType, modelTypes } from './config.js';
import { gemmaOf, localOf, rotaryOf } from './hf-config/parse-attention.js';
import { type RopeJson, ropeSchema } from './hf-config/parse-rope.js';
import { check, contextOf, eosIds, familyDefaults, hfConfig, isObject, type Json, show } from './hf-config/schema.js';

/**
 * Reads a Hugging Face `config.json` of the llama, mistral, qwen2, qwen3, gemma3 or phi3 family; of a gemma3 that also
 * sees, the part for text. CheckpointError naming the key when a value is missing or impossible, or asks for something
 * that our decoder does not compute.
 *
 * @param generation parsed `generation_config.json`; its `eos_token_id`s end a reply as well.
 */
export function parseConfig(json: unknown, generation?: unknown, where = 'config.json'): DecoderConfig {
  if (!isObject(json)) throw new CheckpointError('the file holds no JSON object', { where });
  const given = textPart(json, where);
  const modelType = modelTypes.find((type) => type === given['model_type']);
  if (modelType === undefined) {
    throw new CheckpointError(`\`model_type\` ${show(given['model_type'])} is not supported`, {
      where,
      fix: `use a model of the families ${modelTypes.join(', ')}`,
    });
  }
  const defined = Object.entries(given).filter(([, value]) => value !== undefined);
  const whole: Json = { ...familyDefaults[modelType], ...Object.fromEntries(defined) };
  refuseUnsupported(modelType, whole, where);
  const layerRopes = ropesByLayer(whole, where);
  const c = check(hfConfig, layerRopes === null ? whole : { ...whole, rope_parameters: layerRopes.full }, where);
  const headDim = c.head_dim ?? c.hidden_size / c.num_attention_heads;
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
  const gemma = modelType === 'gemma3_text';
  return {
    modelType,
    vocabSize: c.vocab_size,
    hiddenSize: c.hidden_size,
    intermediateSize: c.intermediate_size,
    layerCount: c.num_hidden_layers,
    headCount: c.num_attention_heads,
    kvHeadCount,
    headDim,
    contextLength: contextOf(modelType, c),
    ropeTheta: c.rope_parameters?.rope_theta ?? c.rope_theta ?? 10_000,
    normEpsilon: c.rms_norm_eps ?? 1e-6,
    tiedEmbedding: c.tie_word_embeddings ?? false,
    qkvBias: modelType === 'qwen2',
    qkNorm: modelType === 'qwen3' || gemma,
    ...rotaryOf(modelType, c, headDim, where),
    ...localOf(modelType, c, layerRopes?.local.rope_theta ?? c.rope_local_base_freq ?? undefined, where),
    ...(gemma ? gemmaOf(c, headDim) : {}),
    bosTokenId: c.bos_token_id ?? null,
    eosTokenIds,
    padTokenId: c.pad_token_id ?? null,
  };
}

/** A `gemma3` with eyes keeps its decoder's settings under `text_config`, some tokens' ids beside it. */
function textPart(json: Json, where: string): Json {
  if (json['model_type'] !== 'gemma3') return json;
  const text = json['text_config'];
  if (!isObject(text)) {
    throw new CheckpointError('`text_config` is missing', { where, fix: 'use the config.json that came with the model' });
  }
  const around = Object.fromEntries(
    ['bos_token_id', 'eos_token_id', 'pad_token_id', 'tie_word_embeddings', 'quantization_config']
      .filter((key) => json[key] !== undefined)
      .map((key) => [key, json[key]]),
  );
  return { ...text, ...around, model_type: 'gemma3_text' };
}

/** Newer files give rotation by the type of layer; null where one is for all. */
function ropesByLayer(json: Json, where: string): { full: RopeJson | undefined; local: RopeJson } | null {
  const ropes = json['rope_parameters'];
  if (!isObject(ropes) || !isObject(ropes['sliding_attention'] ?? ropes['full_attention'])) return null;
  const read = (key: string): RopeJson => {
    const at = z.looseObject({ rope_parameters: z.looseObject({ [key]: ropeSchema }) });
    const found = (check(at, json, where) as { rope_parameters: Record<string, RopeJson | null> }).rope_parameters[key];
    return found ?? {};
  };
  const local = read('sliding_attention');
  if ((local.rope_type ?? 'default') !== 'default') {
    throw new CheckpointError('`rope_parameters.sliding_attention` stretches local layers, which is not supported', {
      where,
      fix: 'use a model without it',
    });
  }
  return { full: read('full_attention'), local };
}

/** `generation_config.json` may be absent or of no use; only its end ids matter here. */
function generationEosIds(generation: unknown, where: string): readonly number[] {
  if (generation === undefined) return [];
  return check(z.looseObject({ eos_token_id: eosIds }), generation, where).eos_token_id;
}

function refuseUnsupported(modelType: ModelType, json: Json, where: string): void {
  const refuse = (key: string, what: string): never => {
    throw new CheckpointError(`\`${key}\` ${show(json[key])}: ${what}`, {
      where,
      fix: 'use a model without it',
    });
  };
  const isOn = (key: string): boolean => ![undefined, null, false, 0].includes(json[key] as null);
  if (modelType === 'gemma3_text') {
    const key = json['hidden_activation'] === undefined ? 'hidden_act' : 'hidden_activation';
    if (json[key] !== 'gelu_pytorch_tanh') refuse(key, 'only the tanh form of GELU is supported in this family');
    for (const cap of ['final_logit_softcapping', 'attn_logit_softcapping']) {
      if (isOn(cap)) refuse(cap, 'capped logits are not supported');
    }
    if (isOn('use_bidirectional_attention')) refuse('use_bidirectional_attention', 'only causal attention is supported');
  } else {
    const activation = json['hidden_act'] ?? 'silu';
    if (activation !== 'silu' && activation !== 'swish') refuse('hidden_act', 'only SiLU is supported in this family');
  }
  if (isOn('attention_bias')) refuse('attention_bias', 'bias on the output projection is not supported');
  if (isOn('mlp_bias')) refuse('mlp_bias', 'bias in the feed-forward layers is not supported');
  if (isOn('lm_head_bias')) refuse('lm_head_bias', 'bias on the head is not supported');
  if (isOn('quantization_config')) refuse('quantization_config', 'quantized checkpoints cannot be read');
}

