import { EdgeDeskError, f16BitsToF32, f32ToF16Bits, memorySource } from '@edgedesk/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Checkpoint } from '../checkpoint/load-checkpoint.js';
import { seeded } from '../checkpoint/memory-store.case.js';
import { type DecoderConfig, weightName, weightShapes } from '../config.js';
import type { DecoderWeights, StoredLinear } from '../linear/decoder-weights.js';
import { formatOf, type Linear, type NBitFormat } from '../linear/linear.js';
import { toDense } from '../linear/to-dense.js';
import { randomWeights } from '../decoder/decoder.case.js';
import type { RopeScaling } from '../rotary/rope-scaling.js';
import { rotationOf } from '../rotary/rotation.js';
import { ggufFixture, ggufReference } from './gguf.case.js';
import { openGguf } from './open-gguf.js';
import { readContainer } from './read-container.js';
import { writeGguf, type WriteGgufOptions } from './write-gguf.js';

const openFixture = (name: string): Promise<Checkpoint> => openGguf(memorySource(`${name}.gguf`, ggufFixture(name)));

/** A file in memory that must be written without gaps. */
async function written(options: Omit<WriteGgufOptions, 'file' | 'name'>): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let end = 0;
  const size = await writeGguf({
    ...options,
    name: 'tiny',
    file: {
      write: (offset, bytes) => {
        for (; end < offset; end++) parts.push(Uint8Array.of(0));
        expect(offset).toBe(end);
        end += bytes.byteLength;
        parts.push(bytes.slice());
        return Promise.resolve();
      },
    },
  });
  const file = new Uint8Array(end);
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  expect(size).toBe(end);
  return file;
}

/** True when the values are equal to the last bit, the sign of zeros included. */
function sameBits(a: Float32Array, b: Float32Array): boolean {
  const [x, y] = [new Uint32Array(a.slice().buffer), new Uint32Array(b.slice().buffer)];
  return x.length === y.length && x.every((word, i) => word === y[i]);
}

/** The weights of a checkpoint, its matrices replaced by what `make` gives. */
function decoderWeights(
  { config, weights }: Pick<Checkpoint, 'config' | 'weights'>,
  make: (name: string, shape: readonly [number, number]) => Promise<Linear>,
  format: StoredLinear['format'],
): DecoderWeights {
  const matrices = [...weightShapes(config)].filter(([, shape]) => shape.length === 2);
  return {
    config,
    linears: new Map(
      matrices.map(([name, shape]) => {
        const matrix = [shape[0]!, shape[1]!] as const;
        return [name, { shape: matrix, format, read: () => make(name, matrix) }];
      }),
    ),
    readVector: (name) => weights.readF32(name),
  };
}

const dense = (checkpoint: Checkpoint): DecoderWeights =>
  decoderWeights(
    checkpoint,
    async (name, shape) => ({ kind: 'dense', shape, storage: 'f32', weight: await checkpoint.weights.readF32(name) }),
    { kind: 'dense', storage: 'f32' },
  );

describe.each([...Object.keys(ggufReference.decoders), 'gemma3', 'phi3'])('%s, written and read again', (name) => {
  let original: Checkpoint;
  let copy: Checkpoint;
  beforeAll(async () => {
    original = await openFixture(name);
    const file = await written({ weights: dense(original), tokenizerFiles: original.tokenizerFiles });
    copy = await openGguf(memorySource('copy.gguf', file));
  });

  it('is the same decoder', () => expect(copy.config).toEqual(original.config));

  it('has the same weights, also where rows are permuted', async () => {
    for (const weight of weightShapes(original.config).keys()) {
      expect(sameBits(await copy.weights.readF32(weight), await original.weights.readF32(weight)), weight).toBe(true);
    }
  });

  it('has the same tokenizer and chat template', () => {
    for (const text of ggufReference.texts) {
      for (const allowSpecial of [false, true]) {
        expect(copy.tokenizer.encode(text, { allowSpecial })).toEqual(original.tokenizer.encode(text, { allowSpecial }));
      }
    }
    expect([...copy.tokenizerFiles]).toEqual([...original.tokenizerFiles]);
    expect(copy.generation).toEqual(original.generation);
  });
});

describe('metadata', () => {
  it('is what llama.cpp asks for', async () => {
    const { config, weights, tokenizerFiles } = await openFixture('llama');
    const file = await written({ weights: dense({ config, weights } as Checkpoint), tokenizerFiles });
    const { metadata, tensors } = await readContainer(memorySource('x', file));
    expect([...metadata.keys()]).toEqual([
      'general.architecture', 'general.type', 'general.name', 'general.quantized_by', 'general.file_type',
      'general.quantization_version', 'llama.vocab_size', 'llama.context_length', 'llama.embedding_length',
      'llama.feed_forward_length', 'llama.block_count', 'llama.attention.head_count', 'llama.attention.head_count_kv',
      'llama.attention.key_length', 'llama.attention.value_length',
      'llama.attention.layer_norm_rms_epsilon', 'llama.rope.dimension_count', 'llama.rope.freq_base', 'tokenizer.ggml.model', 'tokenizer.ggml.pre',
      'tokenizer.ggml.tokens', 'tokenizer.ggml.token_type', 'tokenizer.ggml.merges', 'tokenizer.ggml.add_bos_token',
      'tokenizer.ggml.bos_token_id', 'tokenizer.ggml.eos_token_id', 'tokenizer.ggml.eot_token_id',
      'tokenizer.ggml.padding_token_id', 'tokenizer.chat_template',
    ]); // prettier-ignore
    const source = await readContainer(memorySource('llama.gguf', ggufFixture('llama')));
    for (const key of ['tokens', 'merges']) {
      expect(metadata.texts(`tokenizer.ggml.${key}`)).toEqual(source.metadata.texts(`tokenizer.ggml.${key}`));
    }
    expect(metadata.integers('tokenizer.ggml.token_type')).toEqual(source.metadata.integers('tokenizer.ggml.token_type'));
    expect(metadata.text('tokenizer.chat_template')).toBe(source.metadata.text('tokenizer.chat_template'));
    expect(metadata.real('llama.rope.freq_base')).toBe(50000);
    expect([metadata.count('tokenizer.ggml.eos_token_id'), metadata.count('tokenizer.ggml.eot_token_id')]).toEqual([2, 2]);
    expect([...tensors.keys()].sort()).toEqual([...source.tensors.keys()].filter((n) => n !== 'rope_freqs.weight').sort());
  });
});

describe('families of their own metadata, written and read again', () => {
  const base: DecoderConfig = {
    modelType: 'llama', vocabSize: 464, hiddenSize: 32, intermediateSize: 48, layerCount: 6, headCount: 4, kvHeadCount: 2,
    headDim: 8, contextLength: 64, ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbedding: true, qkvBias: false, qkNorm: false,
    bosTokenId: 1, eosTokenIds: [2, 0], padTokenId: 0,
  }; // prettier-ignore
  const phi: DecoderConfig = {
    ...base,
    modelType: 'phi3',
    rotaryDim: 6,
    ropeScaling: { kind: 'longrope', shortFactors: [1, 1.25, 2], longFactors: [1.5, 4, 7], originalContext: 16, magnitude: 1.125 },
    local: { window: 32, layers: new Array<boolean>(6).fill(true) },
    tiedEmbedding: false,
  };
  const gemma: DecoderConfig = {
    ...base,
    modelType: 'gemma3_text',
    qkNorm: true,
    headDim: 16,
    ropeScaling: { kind: 'linear', factor: 8 },
    local: { window: 16, layers: [true, true, true, true, true, false], ropeTheta: 500 },
    embeddingScale: Math.sqrt(32),
    activation: 'gelu',
    outputNorms: true,
  };
  const yarn: DecoderConfig = {
    ...base,
    ropeScaling: { kind: 'yarn', factor: 4, originalContext: 16, betaFast: 32, betaSlow: 1, truncate: true, magnitude: 0.1 * Math.log(4) + 1 },
  };
  const llama3: DecoderConfig = {
    ...base,
    ropeScaling: { kind: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 16 },
  };
  const write = async (config: DecoderConfig): Promise<{ copy: Checkpoint; weights: ReadonlyMap<string, Float32Array> }> => {
    const weights = randomWeights(config);
    const source = { readF32: (name: string) => Promise.resolve(weights.get(name)!) };
    const { tokenizerFiles } = await openFixture('llama');
    const file = await written({ weights: dense({ config, weights: source } as unknown as Checkpoint), tokenizerFiles });
    return { copy: await openGguf(memorySource('copy.gguf', file)), weights };
  };

  it.each([['phi3', phi], ['gemma3', gemma], ['yarn', yarn]] as const)('%s is the same', async (_, config) => {
    const { copy, weights } = await write(config);
    expect(copy.config).toEqual(config);
    for (const [name, values] of weights) expect(sameBits(await copy.weights.readF32(name), values), name).toBe(true);
  });

  it('llama3 rotates by the same frequencies', async () => {
    const { copy } = await write(llama3);
    const [ours, theirs] = [rotationOf(llama3, 0), rotationOf(copy.config, 0)];
    expect(theirs.frequencies).toEqual(ours.frequencies.map((x) => expect.closeTo(x, 7) as number));
    expect([theirs.magnitude, theirs.beyond]).toEqual([1, null]);
  });

  it.each<[string, DecoderConfig, RegExp]>([
    ['other local layers', { ...gemma, local: { window: 16, layers: new Array<boolean>(6).fill(true) } }, /gemma3_text with layers other than/],
    ['another scale', { ...gemma, attentionScale: 1 }, /gemma3_text with this scale of attention/],
    ['windows', { ...base, modelType: 'mistral', local: { window: 9, layers: new Array<boolean>(6).fill(true) } }, /mistral with attention over a sliding window/],
    ['wide heads', { ...phi, headDim: 16 }, /phi3 with heads that are wider/],
    ['YaRN without rounding', { ...yarn, ropeScaling: { ...yarn.ropeScaling!, truncate: false } as RopeScaling }, /rounds the ends of YaRN/],
    ['two lists of factors', { ...phi, modelType: 'llama', local: undefined }, /does not read LongRoPE's factors in the family llama/],
  ])('refuses %s, which llama.cpp does not have', async (_, config, sentence) => {
    await expect(write(config)).rejects.toThrow(sentence);
  });
});

/** A one-layer decoder with groups of up to 128. */
const config: DecoderConfig = {
  modelType: 'llama', vocabSize: 464, hiddenSize: 128, intermediateSize: 160, layerCount: 1, headCount: 4, kvHeadCount: 2,
  headDim: 32, contextLength: 64, ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbedding: false, qkvBias: false, qkNorm: false,
  bosTokenId: null, eosTokenIds: [2, 0], padTokenId: 0,
}; // prettier-ignore

/** Every level occurs; scales of both signs, subnormal ones and zero among them. */
function quantized(format: NBitFormat, exactMinimum: boolean) {
  const linears = new Map<string, Linear>();
  const random = seeded(5);
  const make = (name: string, shape: readonly [number, number]): Promise<Linear> => {
    const { bits: width, groupSize, asymmetric } = format;
    const [rows, columns] = shape;
    const count = rows * Math.ceil(columns / groupSize);
    const scale = (i: number): number => {
      if (exactMinimum) return 2 ** -((i % 12) + 3);
      if (i % 17 === 0) return 0;
      const drawn = (random() - 0.5) * (i % 13 === 0 ? 1e-6 : 0.1);
      return f16BitsToF32(f32ToF16Bits(asymmetric ? Math.abs(drawn) : drawn));
    };
    const linear: Linear = {
      kind: 'nbit',
      shape,
      bits: width,
      groupSize,
      levels: Uint8Array.from({ length: rows * columns }, () => Math.floor(random() * 2 ** width)),
      scales: Float32Array.from({ length: count }, (_, i) => scale(i)),
      ...(asymmetric ? { zeroPoints: Uint8Array.from({ length: count }, () => Math.floor(random() * 2 ** width)) } : {}),
    };
    linears.set(name, linear);
    expect(formatOf(linear)).toEqual(format);
    return Promise.resolve(linear);
  };
  const weights = decoderWeights(
    {
      config,
      weights: {
        tensors: new Map(),
        readF32: () => Promise.resolve(Float32Array.from({ length: 128 }, (_, i) => 1 + i / 64)),
        close: () => Promise.resolve(),
      },
    },
    make,
    format,
  );
  return { weights, linears };
}

const nbit = (width: 2 | 4 | 8, groupSize: number, asymmetric = false): NBitFormat => ({
  kind: 'nbit',
  bits: width,
  groupSize,
  asymmetric,
});

describe('quantized weights', () => {
  it.each([
    ['Q4_0', nbit(4, 32), {}, 0],
    ['Q4_0', nbit(4, 64), {}, 0],
    ['Q4_0', nbit(4, 128), {}, 0],
    ['Q4_0', nbit(2, 32), {}, 0],
    ['Q4_0', nbit(2, 32, true), {}, 0],
    ['Q8_0', nbit(8, 32), {}, 0],
    ['Q8_0', nbit(8, 128), {}, 0],
    ['Q4_1', nbit(4, 32, true), {}, 1],
    ['Q5_0', nbit(4, 32, true), { asymmetricType: 'Q5_0' as const }, 0],
    ['Q5_0', nbit(4, 128, true), { asymmetricType: 'Q5_0' as const }, 0],
  ])('become %s, the same to the last bit: %j', async (type, format, options, exactMinimum) => {
    const { tokenizerFiles } = await openFixture('llama');
    const { weights, linears } = quantized(format, exactMinimum === 1);
    const file = await written({ weights, tokenizerFiles, ...options });
    const copy = await openGguf(memorySource('copy.gguf', file));
    expect(linears.size).toBe(9);
    for (const [name, linear] of linears) {
      expect(copy.weights.tensors.get(name)!.encoding).toBe(type);
      expect(sameBits(await copy.weights.readF32(name), toDense(linear)), name).toBe(true);
    }
  });

  it('have the bytes that ggml puts into a block of Q4_0', async () => {
    const { tokenizerFiles } = await openFixture('llama');
    const { weights } = quantized(nbit(4, 32), false);
    const embedding: Linear = {
      kind: 'nbit', shape: [464, 128], bits: 4, groupSize: 32, levels: Uint8Array.from({ length: 464 * 128 }, (_, i) => i % 16),
      scales: new Float32Array(464 * 4).fill(-1.5),
    }; // prettier-ignore
    const linears = new Map(weights.linears).set(weightName.embedding, {
      ...weights.linears.get(weightName.embedding)!,
      read: () => Promise.resolve(embedding),
    });
    const file = await written({ weights: { ...weights, linears }, tokenizerFiles });
    const { tensors } = await readContainer(memorySource('x', file));
    const { offset } = tensors.get('token_embd.weight')!;
    // -1.5 is BE00; weight j lies beside weight j + 16, which is the same here.
    const nibbles = Array.from({ length: 16 }, (_, j) => j * 17);
    expect([...file.subarray(offset, offset + 18)]).toEqual([0x00, 0xbe, ...nibbles]);
  });
});

describe('refuses in one sentence', () => {
  const sentence = async (options: Omit<WriteGgufOptions, 'file' | 'name'>): Promise<string> => {
    const error: unknown = await written(options).then(
      () => null,
      (e: unknown) => e,
    );
    if (EdgeDeskError.isInstance(error)) return error.sentence;
    throw new Error(`no EdgeDeskError but ${String(error)}`);
  };

  it.each([
    [nbit(4, 16), /^tiny, model\.embed_tokens\.weight: groups of 16 weights do not fill GGUF's blocks/],
    [nbit(8, 32, true), /GGUF has no 8-bit blocks with a zero point; compress to 8 bits without/],
    [nbit(4, 32, true), /Q4_1 stores the minimum of a group in 16 bits.*; export groups with zero points as Q5_0/],
  ])('%j', async (format, expected) => {
    const { tokenizerFiles } = await openFixture('llama');
    expect(await sentence({ weights: quantized(format, false).weights, tokenizerFiles })).toMatch(expected);
  });

  const editTokenizer = async (edit: (json: { [key: string]: unknown }) => void): Promise<string> => {
    const { tokenizerFiles } = await openFixture('llama');
    const json = JSON.parse(tokenizerFiles.get('tokenizer.json')!) as { [key: string]: unknown };
    edit(json);
    const files = new Map(tokenizerFiles).set('tokenizer.json', JSON.stringify(json));
    return sentence({ weights: quantized(nbit(4, 32), false).weights, tokenizerFiles: files });
  };

  it('rows that are no whole blocks', async () => {
    const { tokenizerFiles } = await openFixture('llama');
    const { weights } = quantized(nbit(4, 32), false);
    const narrow = { ...weights, config: { ...config, intermediateSize: 144 } };
    expect(await sentence({ weights: narrow, tokenizerFiles })).toMatch(/rows of 144 weights are no whole GGUF blocks of 32/);
  });

  it('a way of cutting text that llama.cpp does not have', async () => {
    const stage = { type: 'Sequence', pretokenizers: [{ type: 'Whitespace' }, { type: 'ByteLevel', use_regex: false }] };
    expect(await editTokenizer((json) => (json['pre_tokenizer'] = stage))).toMatch(/llama\.cpp has no name for how/);
  });

  it('a normalizer', async () => {
    expect(await editTokenizer((json) => (json['normalizer'] = { type: 'Lowercase' }))).toMatch(/without a normalizer/);
  });

  it('a tokenizer larger than the model', async () => {
    const token = { id: 464, content: '<far>', special: true };
    const edit = (json: { [key: string]: unknown }): unknown => (json['added_tokens'] as unknown[]).push(token);
    expect(await editTokenizer(edit)).toMatch(/the token "<far>" has the id 464 of 464/);
  });

  it('no tokenizer', async () => {
    const { weights } = quantized(nbit(4, 32), false);
    expect(await sentence({ weights, tokenizerFiles: new Map() })).toMatch(/there is no `tokenizer.json`/);
  });
});
