import { memorySource } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import { decoderConfig } from './decoder-config.js';
import { ggufFixture } from './gguf.case.js';
import { ggufWeights } from './gguf-weights.js';
import { HeaderCursor } from './header-cursor.js';
import { Metadata } from './metadata.js';
import { openGguf } from './open-gguf.js';
import { type GgufTensor, readContainer } from './read-container.js';
import { type GgufValue, readMetadata } from './read-metadata.js';

const bytes = ggufFixture('llama');
const source = memorySource('llama.gguf', bytes);
const { tensors } = await readContainer(source);
const values = await (async () => {
  const cursor = new HeaderCursor(source);
  await cursor.need(24);
  cursor.bytes(16);
  return readMetadata(cursor, cursor.u64());
})();
const noDivisors = { always: null, short: null, long: null };
const ids = { bos: 1, pad: 0, unknown: null, ends: [2], addBos: false };

const configWith = (changes: Readonly<Record<string, GgufValue | undefined>>) => {
  const changed = new Map(values);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) changed.delete(key);
    else changed.set(key, value);
  }
  return decoderConfig({ metadata: new Metadata(changed, 'llama.gguf'), tensors }, ids, noDivisors);
};

describe('decoderConfig', () => {
  it('takes settings that change nothing', () => {
    const plain = configWith({});
    expect(
      configWith({
        'llama.rope.scaling.type': 'none',
        'llama.rope.dimension_count': 8,
        'llama.attention.head_count_kv': Int32Array.of(2, 2),
        'llama.expert_count': 0,
        'llama.attention.sliding_window': 64,
        'llama.attention.causal': true,
        'llama.attention.scale': Math.fround(1 / Math.sqrt(8)),
        'llama.logit_scale': 1,
      }),
    ).toEqual(plain);
    expect(configWith({ 'llama.rope.scaling.factor': 8 }).ropeScaling).toEqual({ kind: 'linear', factor: 8 });
    expect(
      configWith({ 'llama.rope.scaling.type': 'yarn', 'llama.rope.scaling.factor': 2, 'llama.rope.scaling.original_context_length': 32 })
        .ropeScaling,
    ).toMatchObject({ kind: 'yarn', factor: 2, originalContext: 32, magnitude: 0.1 * Math.log(2) + 1 });
    expect(configWith({ 'llama.rope.freq_base': undefined }).ropeTheta).toBe(10_000);
    expect(configWith({ 'llama.attention.head_count_kv': undefined }).kvHeadCount).toBe(4);
  });

  it.each<[string, GgufValue | undefined, RegExp]>([
    ['general.architecture', 'gemma2', /architecture `gemma2` is not supported/],
    ['general.architecture', undefined, /architecture `` is not supported/],
    ['general.architecture', 7, /`general.architecture` is not a text/],
    ['general.type', 'adapter', /holds a `adapter`, not a model/],
    ['split.count', 3, /one part of a split model/],
    ['llama.block_count', undefined, /`llama.block_count` is missing/],
    ['llama.block_count', 2 ** 40, /num_hidden_layers/],
    ['llama.block_count', -1, /`llama.block_count` is not a count/],
    ['llama.attention.head_count', 3, /`head_dim`/],
    ['llama.attention.head_count_kv', 3, /does not divide/],
    ['llama.attention.head_count_kv', Int32Array.of(2, 4), /differs between layers/],
    ['llama.attention.layer_norm_rms_epsilon', undefined, /layer_norm_rms_epsilon` is missing/],
    ['llama.attention.layer_norm_rms_epsilon', NaN, /is not a number/],
    ['llama.rope.scaling.type', 'dynamic', /`llama.rope.scaling.type` is set, and that way of scaling/],
    ['llama.rope.scaling.type', 'linear', /`rope_scaling.factor` is missing/],
    ['llama.rope.dimension_count', 4, /partly rotated heads/],
    ['llama.attention.value_length', 16, /another size than keys/],
    ['llama.expert_count', 8, /mixtures of experts/],
    ['llama.attention.sliding_window', 32, /sliding window/],
    ['llama.attention.causal', false, /only causal/],
    ['llama.attention.scale', 0.5, /usual scale/],
    ['llama.final_logit_softcapping', 30, /capped logits/],
    ['llama.logit_scale', 2, /factor is not supported/],
  ])('refuses %s = %s', (key, value, sentence) => {
    expect(() => configWith({ [key]: value })).toThrow(sentence);
  });
});

describe('ggufWeights', () => {
  const config = configWith({});
  const withTensor = (name: string, tensor: GgufTensor | undefined) => {
    const changed = new Map(tensors);
    if (tensor === undefined) changed.delete(name);
    else changed.set(name, tensor);
    return ggufWeights(source, { metadata: new Metadata(values, 'x'), tensors: changed }, config);
  };
  const norm = tensors.get('output_norm.weight')!;

  it.each<[string, GgufTensor | undefined, RegExp]>([
    ['blk.1.ffn_up.weight', undefined, /`blk.1.ffn_up.weight` is missing/],
    ['blk.0.attn_q.weight', { ...norm, name: 'blk.0.attn_q.weight' }, /shape \[32\] but the metadata asks for \[32, 32\]/],
    ['blk.0.attn_q.bias', { ...norm, name: 'blk.0.attn_q.bias' }, /`blk.0.attn_q.bias` has no place/],
    ['blk.2.attn_norm.weight', { ...norm, name: 'blk.2.attn_norm.weight' }, /has no place/],
    ['rope_freqs.weight', { ...norm, name: 'rope_freqs.weight' }, /`rope_freqs.weight` has no place/],
  ])('refuses a file by its %s', (name, tensor, sentence) => {
    expect(() => withTensor(name, tensor)).toThrow(sentence);
  });

  it('takes rotary factors other than one for a scaling', async () => {
    const changed = bytes.slice();
    new DataView(changed.buffer).setFloat32(tensors.get('rope_freqs.weight')!.offset + 4, 8, true);
    const { config: scaled, weights } = await openGguf(memorySource('x.gguf', changed));
    const factors = [1, 8, 1, 1];
    expect(scaled.ropeScaling).toEqual({
      kind: 'longrope',
      shortFactors: factors,
      longFactors: factors,
      originalContext: 64,
      magnitude: 1,
    });
    await weights.close();
  });
});
