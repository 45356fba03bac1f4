import { EdgeDeskError } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import type { DecoderConfig } from './config.js';
import { checkWeights } from './checkpoint/check-weights.js';
import { configJson } from './hf-config/config-json.js';
import { parseConfig } from './parse-config.js';
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

const gemma = { model_type: 'gemma3_text', hidden_act: undefined };
const phi = { model_type: 'phi3', partial_rotary_factor: 0.75 };

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

  it('reads the text part of a Gemma 3 that also sees, and what its class leaves out', () => {
    const config = parseConfig({
      model_type: 'gemma3',
      eos_token_id: [1, 106],
      text_config: {
        hidden_size: 2560,
        intermediate_size: 10240,
        model_type: 'gemma3_text',
        num_hidden_layers: 34,
        rope_scaling: { factor: 8, rope_type: 'linear' },
        sliding_window: 1024,
      },
      vision_config: { hidden_size: 1152 },
    });
    expect(config).toMatchObject({
      modelType: 'gemma3_text',
      vocabSize: 262208,
      headCount: 8,
      kvHeadCount: 4,
      headDim: 256,
      contextLength: 131072,
      ropeTheta: 1e6,
      tiedEmbedding: true,
      qkNorm: true,
      outputNorms: true,
      activation: 'gelu',
      embeddingScale: Math.sqrt(2560),
      ropeScaling: { kind: 'linear', factor: 8 },
      local: { window: 1024, ropeTheta: 10_000 },
      eosTokenIds: [1, 106],
    });
    expect(config.attentionScale).toBeUndefined();
    expect(config.local!.layers.flatMap((isLocal, layer) => (isLocal ? [] : [layer]))).toEqual([5, 11, 17, 23, 29]);
  });

  it('reads rotation by the type of layer, as newer files have it', () => {
    const { local, ropeTheta, ropeScaling, attentionScale } = parseConfig({
      ...smol,
      ...gemma,
      head_dim: 64,
      query_pre_attn_scalar: 168,
      rope_scaling: undefined,
      rope_theta: undefined,
      layer_types: [...new Array<string>(29).fill('sliding_attention'), 'full_attention'],
      rope_parameters: {
        sliding_attention: { rope_type: 'default', rope_theta: 5000 },
        full_attention: { rope_type: 'linear', factor: 8, rope_theta: 7e5 },
      },
    });
    expect([local!.ropeTheta, ropeTheta, attentionScale]).toEqual([5000, 7e5, 1 / Math.sqrt(168)]);
    expect(ropeScaling).toEqual({ kind: 'linear', factor: 8 });
  });

  it('reads Phi-3 with its window and its two lists of factors', () => {
    const list = (start: number): number[] => Array.from({ length: 24 }, (_, i) => start + i);
    const config = parseConfig({
      ...smol,
      ...phi,
      original_max_position_embeddings: 4096,
      sliding_window: 2047,
      rope_scaling: { type: 'su', short_factor: list(1), long_factor: list(2) },
    });
    expect(config).toMatchObject({
      rotaryDim: 48,
      local: { window: 2047, layers: new Array(30).fill(true) },
      ropeScaling: {
        kind: 'longrope',
        shortFactors: list(1),
        longFactors: list(2),
        originalContext: 4096,
        magnitude: Math.sqrt(1 + Math.log(2) / Math.log(4096)),
      },
    });
    expect(config.local!.ropeTheta).toBeUndefined();
  });

  it('lets the layers of Mistral and Qwen slide where they do', () => {
    expect(parseConfig({ ...smol, model_type: 'mistral' }).local?.window).toBe(4096);
    const qwen = { ...smol, model_type: 'qwen2', use_sliding_window: true, sliding_window: 512, max_window_layers: 29 };
    expect(parseConfig(qwen).local).toEqual({ window: 512, layers: [...new Array<boolean>(29).fill(false), true] });
    expect(parseConfig({ ...qwen, use_sliding_window: false }).local).toBeUndefined();
  });

  const refused: [string, Record<string, unknown>, RegExp][] = [
    ['another family', { model_type: 'gpt2' }, /`model_type` "gpt2" is not supported/],
    ['no family', { model_type: undefined }, /`model_type` that is missing/],
    ['a missing key', { hidden_size: undefined }, /`hidden_size` is missing/],
    ['a text for a number', { vocab_size: '49152' }, /`vocab_size` "49152" cannot be used/],
    ['a giant size', { num_hidden_layers: 1e9 }, /`num_hidden_layers` 1000000000/],
    ['scaling without its factor', { rope_scaling: { type: 'linear' } }, /`rope_scaling.factor` is missing/],
    ['half of a scaling', { rope_scaling: { rope_type: 'llama3', factor: 8 } }, /`rope_scaling.low_freq_factor` is missing/],
    ['unknown scaling', { rope_parameters: { rope_type: 'dynamic', factor: 2 } }, /`rope_parameters` of the type "dynamic"/],
    ['scaling by a text', { rope_scaling: { rope_type: 'linear', factor: '2' } }, /`rope_scaling.factor` "2" cannot be used/],
    [
      'too few factors',
      { ...phi, rope_scaling: { rope_type: 'longrope', short_factor: [1], long_factor: [1] } },
      /`rope_scaling.short_factor` has 1 numbers for 24 pairs/,
    ],
    ['a part of a head that is odd', { ...phi, partial_rotary_factor: 0.0547 }, /`partial_rotary_factor` 0.0547 of a head of 64/],
    ['sliding layers', { layer_types: ['sliding_attention'] }, /`layer_types`/],
    ['unknown layers', { ...gemma, layer_types: new Array(30).fill('linear_attention') }, /`layer_types` "linear_attention"/],
    ['too few layer types', { ...gemma, layer_types: ['full_attention'] }, /`layer_types` has 1 entries for 30/],
    ['capped logits', { ...gemma, final_logit_softcapping: 30 }, /`final_logit_softcapping` 30: capped logits/],
    ['SiLU in Gemma', { ...gemma, hidden_activation: 'silu' }, /`hidden_activation` "silu"/],
    ['eyes without a text part', { model_type: 'gemma3' }, /`text_config` is missing/],
    [
      'stretched local layers',
      { ...gemma, rope_parameters: { sliding_attention: { rope_type: 'yarn' }, full_attention: {} } },
      /stretches local layers/,
    ],
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
    family({ modelType: 'mistral', local: { window: 9, layers: new Array<boolean>(30).fill(true) } }),
    family({ ropeScaling: { kind: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 99 } }),
    family({
      modelType: 'qwen2',
      qkvBias: true,
      local: { window: 7, layers: [...new Array<boolean>(20).fill(false), ...new Array<boolean>(10).fill(true)] },
      ropeScaling: { kind: 'yarn', factor: 4, originalContext: 9, betaFast: 30, betaSlow: 2, truncate: false, magnitude: 1.1 },
    }),
    family({
      modelType: 'phi3',
      rotaryDim: 4,
      local: { window: 9, layers: new Array<boolean>(30).fill(true) },
      ropeScaling: { kind: 'longrope', shortFactors: [1, 2], longFactors: [3, 4], originalContext: 9, magnitude: 1.5 },
    }),
    family({
      modelType: 'gemma3_text',
      qkNorm: true,
      local: { window: 9, layers: [...new Array<boolean>(29).fill(true), false], ropeTheta: 77 },
      ropeScaling: { kind: 'linear', factor: 8 },
      attentionScale: 1 / Math.sqrt(168),
      embeddingScale: Math.sqrt(576),
      activation: 'gelu',
      outputNorms: true,
    }),
  ])('is read back as it was: $modelType', (config) => {
    const json = configJson(config, 'bf16');
    expect(parseConfig(JSON.parse(JSON.stringify(json)))).toEqual(config);
    expect(json['torch_dtype']).toBe('bfloat16');
  });

  it('names the class and refuses what the family does not have', () => {
    expect(configJson(base)['architectures']).toEqual(['LlamaForCausalLM']);
    const foreign: Partial<DecoderConfig>[] = [
      { qkNorm: true },
      { rotaryDim: 4 },
      { outputNorms: true },
      { embeddingScale: 2 },
      { attentionScale: 2 },
      { local: { window: 9, layers: new Array<boolean>(30).fill(true) } },
      { modelType: 'phi3', ropeScaling: { kind: 'linear', factor: 2 } },
    ];
    for (const change of foreign) expect(() => configJson(family(change))).toThrow(/(llama|phi3) does not have/);
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
