import { EdgeDeskError } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import type { DecoderConfig } from './config.js';
import { checkWeights } from './checkpoint/check-weights.js';
import { configJson, parseConfig } from './parse-config.js';
import { weightShapes } from './config.js';
import type { TensorInfo, WeightSource } from './weights.js';

/** SmolLM2-135M's. */
const smol = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_act: 'silu',
  hidden_size: 576,
  intermediate_size: 1536,
  is_llama_config: true,
  max_position_embeddings: 8192,
  model_type: 'llama',
  num_attention_heads: 9,
  num_hidden_layers: 30,
  num_key_value_heads: 3,
  pad_token_id: 2,
  rms_norm_eps: 1e-5,
  rope_interleaved: false,
  rope_scaling: null,
  rope_theta: 100000,
  tie_word_embeddings: true,
  torch_dtype: 'bfloat16',
  vocab_size: 49152,
};

describe('parseConfig', () => {
  it('reads a published configuration', () => {
    expect(parseConfig(smol)).toEqual({
      modelType: 'llama',
      vocabSize: 49152,
      hiddenSize: 576,
      intermediateSize: 1536,
      layerCount: 30,
      headCount: 9,
      kvHeadCount: 3,
      headDim: 64,
      contextLength: 8192,
      ropeTheta: 100000,
      normEpsilon: 1e-5,
      tiedEmbedding: true,
      qkvBias: false,
      qkNorm: false,
      bosTokenId: 1,
      eosTokenIds: [2],
      padTokenId: 2,
    });
  });

  it('knows what families leave out and where newer files put it', () => {
    const { num_key_value_heads: _heads, rope_theta: _theta, rope_scaling: _scaling, ...rest } = smol;
    const qwen3 = parseConfig({
      ...rest,
      model_type: 'qwen3',
      rope_parameters: { rope_type: 'default', rope_theta: 5e5 },
      sliding_window: 1024,
      use_sliding_window: false,
      pad_token_id: -1,
      eos_token_id: null,
    });
    expect(qwen3).toMatchObject({ kvHeadCount: 9, headDim: 128, ropeTheta: 5e5, qkNorm: true, padTokenId: null });
    expect(qwen3.eosTokenIds).toEqual([]);
    expect(parseConfig({ ...smol, model_type: 'qwen2' }).qkvBias).toBe(true);
    expect(parseConfig({ ...smol, model_type: 'mistral', sliding_window: 8192 }).modelType).toBe('mistral');
  });

  it('lets every end id of generation_config.json end a reply', () => {
    expect(parseConfig(smol, { eos_token_id: [2, 0, 7], temperature: 0.6 }).eosTokenIds).toEqual([2, 0, 7]);
    expect(parseConfig(smol, {}).eosTokenIds).toEqual([2]);
    expect(() => parseConfig(smol, { eos_token_id: 'x' })).toThrow(/eos_token_id/);
    expect(() => parseConfig(smol, { eos_token_id: 49152 }, 'm/config.json')).toThrow(
      expect.objectContaining({ where: 'm/generation_config.json' }),
    );
  });

  const refused: [string, Record<string, unknown>, RegExp][] = [
    ['another family', { model_type: 'gpt2' }, /`model_type` "gpt2" is not supported/],
    ['no family', { model_type: undefined }, /`model_type` that is missing/],
    ['a missing key', { hidden_size: undefined }, /`hidden_size` is missing/],
    ['a text for a number', { vocab_size: '49152' }, /`vocab_size` "49152" cannot be used/],
    ['a giant size', { num_hidden_layers: 1e9 }, /`num_hidden_layers` 1000000000/],
    ['scaled positions', { rope_scaling: { rope_type: 'llama3', factor: 8 } }, /`rope_scaling`.*scaled rotary/],
    ['newer scaled positions', { rope_parameters: { rope_type: 'yarn' } }, /`rope_parameters`.*scaled rotary/],
    ['a sliding window', { model_type: 'mistral', sliding_window: 4096 }, /`sliding_window` 4096/],
    ['a sliding window by default', { model_type: 'mistral' }, /`sliding_window`/],
    ['sliding layers', { layer_types: ['sliding_attention'] }, /`layer_types`/],
    ['bias everywhere', { attention_bias: true }, /`attention_bias` true/],
    ['feed-forward bias', { mlp_bias: true }, /`mlp_bias`/],
    ['another activation', { hidden_act: 'gelu' }, /`hidden_act` "gelu"/],
    ['quantized weights', { quantization_config: { bits: 4 } }, /`quantization_config`/],
    ['uneven heads', { num_key_value_heads: 2 }, /does not divide/],
    ['a head of a fraction', { num_attention_heads: 7, num_key_value_heads: 7 }, /not an even number/],
    ['an end id outside', { eos_token_id: 49152 }, /outside the vocabulary/],
  ];
  it.each(refused)('refuses %s, naming the key', (_name, change, message) => {
    const parse = (): unknown => parseConfig(JSON.parse(JSON.stringify({ ...smol, ...change })));
    expect(parse).toThrow(message);
    expect(parse).toThrow(expect.toSatisfy(EdgeDeskError.isInstance) as Error);
  });

  it('refuses what is no object', () => {
    for (const json of [null, [], 'x', 5]) expect(() => parseConfig(json)).toThrow(/no JSON object/);
  });
});

describe('configJson', () => {
  const base = parseConfig(smol);
  const family = (change: Partial<DecoderConfig>): DecoderConfig => ({ ...base, ...change });
  it.each([
    family({}),
    family({ modelType: 'mistral', tiedEmbedding: false, eosTokenIds: [1, 2] }),
    family({ modelType: 'qwen2', qkvBias: true, bosTokenId: null }),
    family({ modelType: 'qwen3', qkNorm: true, headDim: 96, eosTokenIds: [], padTokenId: null }),
  ])('is read back as it was: $modelType', (config) => {
    const json = configJson(config, 'bf16');
    expect(parseConfig(JSON.parse(JSON.stringify(json)))).toEqual(config);
    expect(json['torch_dtype']).toBe('bfloat16');
  });

  it('names the class and refuses what the family does not have', () => {
    expect(configJson(base)['architectures']).toEqual(['LlamaForCausalLM']);
    expect(() => configJson(family({ qkNorm: true }))).toThrow(/llama does not have/);
  });
});

describe('checkWeights', () => {
  const config = parseConfig({ ...smol, num_hidden_layers: 2 });
  const source = (edit: (tensors: Map<string, TensorInfo>) => void): WeightSource => {
    const tensors = new Map<string, TensorInfo>(
      [...weightShapes(config)].map(([name, shape]) => [name, { name, shape, dtype: 'f16' }]),
    );
    edit(tensors);
    return { tensors, readF32: () => Promise.reject(new Error('not read')), close: () => Promise.resolve() };
  };
  const norm = { name: 'model.norm.weight', shape: [576], dtype: 'f32' } as const;

  it('takes what fits, with more beside it', () => {
    checkWeights(config, source((tensors) => tensors.set('extra', { ...norm, name: 'extra' })), 'dir');
  });

  it.each<[string, (tensors: Map<string, TensorInfo>) => void, RegExp]>([
    ['one missing', (t) => t.delete(norm.name), /`model.norm.weight` is missing/],
    ['several missing', (t) => t.clear(), /`model.embed_tokens.weight` and 19 others are missing/],
    ['another shape', (t) => t.set(norm.name, { ...norm, shape: [577] }), /\[577\] but config.json asks for \[576\]/],
    ['another rank', (t) => t.set(norm.name, { ...norm, shape: [576, 1] }), /\[576, 1\]/],
    ['integers', (t) => t.set(norm.name, { ...norm, dtype: 'i8' }), /holds i8 values/],
  ])('says what is wrong: %s', (_name, edit, message) => {
    expect(() => checkWeights(config, source(edit), 'dir')).toThrow(message);
  });
});
