import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DecoderConfig, DecoderWeights } from '@edgedesk/models';
import {
  chatMlSpecialTokens,
  chatMlTokenizerFiles,
  linearRoles,
  openArtefactWeights,
  openGguf,
  toDense,
  trainByteLevelBpe,
  weightName,
  weightShapes,
  writeGguf,
} from '@edgedesk/models';
import { openCheckpoint, saveCheckpoint } from '@edgedesk/models/node';
import { EdgeDeskError, f16ToF32, f32ToF16 } from '@edgedesk/tensor';
import { fillFileAtomic, openFile, openFolder } from '@edgedesk/tensor/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generatedWeights, tinyConfig } from '../model.case.js';
import { writeGptq } from '../export/gptq-checkpoint.js';
import { modelFromWeights } from '../model.js';
import { applyRecipe } from '../recipe.js';
import { compress } from './compress.js';
import { exportModel } from './export-model.js';

const families: Readonly<Record<string, DecoderConfig>> = {
  llama: tinyConfig,
  qwen2: { ...tinyConfig, modelType: 'qwen2', qkvBias: true, tiedEmbedding: false },
  qwen3: { ...tinyConfig, modelType: 'qwen3', qkNorm: true, headDim: 32 },
};

let root: string;
const at = (name: string): string => join(root, name);
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'edgedesk-export-'));
  const tokenizer = await trainByteLevelBpe(
    ['Where is my order? 我的订单在哪里?', 'Your order is on its way. 您的订单在路上。'],
    { vocabSize: tinyConfig.vocabSize, specialTokens: chatMlSpecialTokens },
  );
  for (const [name, config] of Object.entries(families)) {
    const tokenizerFiles = chatMlTokenizerFiles(tokenizer, config.contextLength);
    await saveCheckpoint(at(name), { config, weights: generatedWeights(config), tokenizerFiles });
  }
});
afterAll(() => rm(root, { recursive: true }));

/** Equal to the last bit, but for the sign of zeros. */
const same = (a: Float32Array, b: Float32Array): boolean =>
  a.length === b.length && a.every((x, i) => x === b[i]);

async function sentenceOf(action: Promise<unknown>): Promise<string> {
  const error: unknown = await action.then(
    () => null,
    (e: unknown) => e,
  );
  if (EdgeDeskError.isInstance(error)) return error.sentence;
  throw new Error(`no EdgeDeskError but ${String(error)}`);
}

/** Every weight of a model as its runtime computes with it. */
async function valuesOf(weights: DecoderWeights): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const name of weightShapes(weights.config).keys()) {
    const linear = weights.linears.get(name);
    values.set(name, linear ? toDense(await linear.read()) : await weights.readVector(name));
  }
  return values;
}

interface Made {
  readonly family: string;
  readonly bits: 16 | 32 | 2 | 3 | 4 | 8;
  readonly groupSize?: number;
  readonly asymmetric?: boolean;
}

async function artefact({ family, bits, groupSize, asymmetric }: Made): Promise<string> {
  const out = at(`${family}-${bits}-${groupSize ?? 32}${asymmetric ? 'a' : ''}`);
  await compress({
    source: at(family),
    outDir: out,
    bits,
    ...(groupSize === undefined ? {} : { groupSize: groupSize as 32 | 64 }),
    ...(asymmetric === undefined ? {} : { asymmetric }),
  });
  return out;
}

describe.each<Made>([
  { family: 'llama', bits: 4 },
  { family: 'llama', bits: 8, groupSize: 64 },
  { family: 'llama', bits: 4, asymmetric: true },
  { family: 'llama', bits: 16 },
  { family: 'llama', bits: 3 },
  { family: 'llama', bits: 2 },
  { family: 'qwen2', bits: 4 },
  { family: 'qwen2', bits: 32 },
  { family: 'qwen3', bits: 8 },
])('$family with $bits bits, groups of $groupSize, zero points: $asymmetric', (made) => {
  it('has the same values in the artefact and in GGUF', async () => {
    const source = await artefact(made);
    const artefactWeights = await openArtefactWeights(openFolder(source));
    const values = await valuesOf(artefactWeights);
    await artefactWeights.close();
    if (made.bits === 32) {
      const original = generatedWeights(families[made.family]!);
      for (const [name, value] of values) expect(same(value, await original.readF32(name)), name).toBe(true);
    }
    const out = at('model.gguf');
    const report = await exportModel({ source, format: 'gguf', out, asymmetricType: 'Q5_0' });
    expect(report.sizeBytes).toBe((await readFile(out)).length);
    const copy = await openGguf(await openFile(out));
    expect(copy.config).toEqual(families[made.family]);
    for (const [name, value] of values)
      expect(same(await copy.weights.readF32(name), value), name).toBe(true);
    const original = await openCheckpoint(at(made.family));
    for (const text of ["Where's my order #12345? 我的订单", '<|im_start|>user']) {
      const ids = original.tokenizer.encode(text, { allowSpecial: true });
      expect(copy.tokenizer.encode(text, { allowSpecial: true })).toEqual(ids);
    }
    await original.weights.close();
    await copy.weights.close();
  });
});

/** A safetensors file by its specification: length, JSON, bytes. */
async function safetensors(path: string) {
  const bytes = Uint8Array.from(await readFile(path));
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return (name: string) => {
    const { dtype, shape, data_offsets: offsets } = header[name]!;
    const data = bytes.slice(8 + length + offsets[0], 8 + length + offsets[1]).buffer;
    return { dtype, shape, i32: () => new Uint32Array(data), f16: () => f16ToF32(new Uint16Array(data)) };
  };
}

/** The weight `[out, in]` as AutoGPTQ's `QuantLinear` computes it: scales[g] ((q - (z + 1)), columns last. */
function dequantizeGptq(
  read: Awaited<ReturnType<typeof safetensors>>,
  module: string,
  bits: number,
): Float32Array {
  const part = (key: string) => read(`${module}.${key}`);
  const index = part('g_idx').i32();
  const rows = part('scales').shape[1]!;
  const [qweight, qzeros, scales] = [part('qweight').i32(), part('qzeros').i32(), part('scales').f16()];
  const per = 32 / bits;
  const mask = 2 ** bits - 1;
  const weight = new Float32Array(rows * index.length);
  for (let column = 0; column < index.length; column++) {
    const g = index[column]!;
    for (let row = 0; row < rows; row++) {
      const q = (qweight[Math.floor(column / per) * rows + row]! >>> ((column % per) * bits)) & mask;
      const z = (qzeros[g * (rows / per) + Math.floor(row / per)]! >>> ((row % per) * bits)) & mask;
      weight[row * index.length + column] = scales[g * rows + row]! * (q - (z + 1));
    }
  }
  return weight;
}

describe.each<Made>([
  { family: 'llama', bits: 4 },
  { family: 'llama', bits: 3 },
  { family: 'llama', bits: 2 },
  { family: 'llama', bits: 4, asymmetric: true },
  { family: 'qwen2', bits: 8 },
  { family: 'qwen3', bits: 4, groupSize: 64 },
])('$family in the GPTQ format with $bits bits, groups of $groupSize, zero points: $asymmetric', (made) => {
  it('has the same values in every linear layer, and the nearest halves elsewhere', async () => {
    const source = await artefact(made);
    const weights = await openArtefactWeights(openFolder(source));
    const values = await valuesOf(weights);
    const container = made.bits === 3 ? 4 : made.bits;
    const out = at('gptq');
    const { sizeBytes } = await exportModel({ source, format: 'gptq', out });
    expect(sizeBytes).toBe((await readFile(join(out, 'model.safetensors'))).length);
    const read = await safetensors(join(out, 'model.safetensors'));
    const { layerCount, hiddenSize } = weights.config;
    const inLayers = new Set<string>();
    for (let layer = 0; layer < layerCount; layer++) {
      for (const role of linearRoles) {
        const name = weightName.linear(layer, role);
        inLayers.add(name);
        const dequantized = dequantizeGptq(read, name.replace('.weight', ''), container);
        expect(same(dequantized, values.get(name)!), name).toBe(true);
      }
    }
    const { dtype, shape } = read('model.layers.0.self_attn.q_proj.qweight');
    expect([dtype, shape]).toEqual([
      'I32',
      [(hiddenSize * container) / 32, values.get(weightName.linear(0, 'q'))!.length / hiddenSize],
    ]);
    for (const [name, value] of values) {
      if (!inLayers.has(name)) expect(same(read(name).f16(), f16ToF32(f32ToF16(value))), name).toBe(true);
    }
    await weights.close();
    const config = JSON.parse(await readFile(join(out, 'config.json'), 'utf8')) as {
      quantization_config: object;
    };
    expect(config).toMatchObject({ model_type: made.family, torch_dtype: 'float16' });
    expect(config.quantization_config).toEqual({
      quant_method: 'gptq',
      checkpoint_format: 'gptq',
      bits: container,
      group_size: made.groupSize ?? 32,
      desc_act: false,
      sym: made.asymmetric !== true,
      lm_head: false,
      true_sequential: true,
      damp_percent: 0.01,
      pack_dtype: 'int32',
      meta: { quantizer: ['edgedesk'] },
    });
    expect((await readdir(out)).sort()).toEqual([
      'chat_template.jinja',
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'special_tokens_map.json',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
  });
});

describe('refuses in one sentence', () => {
  it('zero points that Q4_1 cannot hold, and leaves what was there', async () => {
    const source = await artefact({ family: 'llama', bits: 4, asymmetric: true });
    const out = at('kept.gguf');
    await exportModel({ source: at('llama'), format: 'gguf', out });
    const before = await readFile(out);
    expect(await sentenceOf(exportModel({ source, format: 'gguf', out }))).toMatch(/Q4_1 stores the minimum/);
    expect(before.equals(await readFile(out))).toBe(true);
    expect((await readdir(root)).filter((name) => name.endsWith('.partial'))).toEqual([]);
  });

  it('layers in different formats as GPTQ, which GGUF holds', async () => {
    const base = modelFromWeights('mixed', tinyConfig, generatedWeights(tinyConfig));
    const quantized = await applyRecipe(base, [{ pass: 'round-to-nearest', bits: 4, embeddingBits: 8 }]);
    const down = weightName.linear(1, 'down');
    const linears = new Map(quantized.linears).set(down, base.linears.get(down)!);
    const weights = { ...quantized, linears };
    const options = { name: 'mixed', weights, tokenizerFiles: new Map<string, string>(), generation: {} };
    const folder = {
      writeFile: () => Promise.reject(new Error('written')),
      create: () => Promise.reject(new Error('written')),
    };
    expect(await sentenceOf(writeGptq({ ...options, folder }))).toMatch(
      /^mixed: `model\.layers\.1\.mlp\.down_proj\.weight` is stored in another way than the layers before it; export as GGUF/,
    );
    const { tokenizerFiles, weights: source } = await openCheckpoint(at('llama'));
    await source.close();
    const out = at('mixed.gguf');
    await fillFileAtomic(out, (file) => writeGguf({ ...options, tokenizerFiles, file }));
    const copy = await openGguf(await openFile(out));
    const types = [weightName.embedding, weightName.linear(0, 'q'), down].map(
      (name) => copy.weights.tensors.get(name)!.encoding,
    );
    expect(types).toEqual(['Q8_0', 'Q4_0', 'F32']);
    for (const [name, value] of await valuesOf(weights))
      expect(same(await copy.weights.readF32(name), value), name).toBe(true);
    await copy.weights.close();
  });

  it('a data file of another size than the manifest asks for', async () => {
    const source = await artefact({ family: 'llama', bits: 4 });
    const path = join(source, 'edgedesk.json');
    const manifest = JSON.parse(await readFile(path, 'utf8')) as { quantization: { overrides: object } };
    manifest.quantization.overrides = { [weightName.linear(1, 'down')]: { kind: 'dense', storage: 'f32' } };
    await writeFile(path, JSON.stringify(manifest));
    expect(await sentenceOf(exportModel({ source, format: 'gptq', out: at('never') }))).toMatch(
      /onnx_data: the file has \d+ bytes but the manifest's model takes \d+; copy or download/,
    );
  });

  it('a manifest whose model would not fit into memory', async () => {
    const source = await artefact({ family: 'qwen2', bits: 8 });
    const path = join(source, 'edgedesk.json');
    const manifest = JSON.parse(await readFile(path, 'utf8')) as { config: object };
    manifest.config = { ...manifest.config, vocabSize: 2 ** 21, hiddenSize: 2 ** 18, contextLength: 2 ** 24 };
    await writeFile(path, JSON.stringify(manifest));
    expect(await sentenceOf(exportModel({ source, format: 'gguf', out: at('x.gguf') }))).toMatch(
      /the manifest's model takes/,
    );
  });

  it('bits for an artefact', async () => {
    const source = await artefact({ family: 'qwen3', bits: 8 });
    const sentence = await sentenceOf(exportModel({ source, format: 'gguf', bits: 16, out: at('x.gguf') }));
    expect(sentence).toMatch(/an artefact is exported as it is stored/);
  });
});
