import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DecoderConfig, LinearFormat, WeightSource } from '@edgedesk/models';
import {
  chatMlSpecialTokens,
  chatMlTokenizerFiles,
  configJson,
  fuseDecoder,
  readManifest,
  toDense,
  trainByteLevelBpe,
  verifyArtefact,
  weightShapes,
  writeSafetensors,
} from '@edgedesk/models';
import { nodeSha256 } from '@edgedesk/models/node';
import type { Tensor } from '@edgedesk/tensor';
import { EdgeDeskError, encodeModel, tensor } from '@edgedesk/tensor';
import { nodeBackend, openFolder, writeFolderAtomic } from '@edgedesk/tensor/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generatedWeights, tinyConfig } from '../model.case.js';
import { modelFromWeights, parameterCount } from '../model.js';
import { applyRecipe, recipeForBits } from '../recipe.js';
import { compress } from './compress.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'edgedesk-compress-'));
  await checkpointFolder('base', tinyConfig, generatedWeights(tinyConfig));
});
afterAll(() => rm(root, { recursive: true }));

const inRoot = (name: string): string => join(root, name);

/** Writes a checkpoint as the trainer does. */
async function checkpointFolder(name: string, config: DecoderConfig, weights: WeightSource): Promise<void> {
  const tokenizer = await trainByteLevelBpe(
    ['Where is my order? 我的订单在哪里?', 'Your order is on its way. 您的订单在路上。'],
    { vocabSize: config.vocabSize, specialTokens: chatMlSpecialTokens },
  );
  await writeFolderAtomic(inRoot(name), async (folder) => {
    const tensors = [...weightShapes(config)].map(([weight, shape]) => ({
      name: weight,
      shape,
      dtype: 'f32' as const,
      read: () => weights.readF32(weight),
    }));
    await writeSafetensors(tensors, folder);
    await folder.writeFile('config.json', JSON.stringify(configJson(config)));
    await folder.writeFile('generation_config.json', '{"repetition_penalty":1.1}');
    for (const [file, text] of chatMlTokenizerFiles(tokenizer, config.contextLength)) {
      await folder.writeFile(file, text);
    }
  });
}

async function sentenceOf(action: Promise<unknown>): Promise<string> {
  const error: unknown = await action.then(
    () => null,
    (e: unknown) => e,
  );
  if (EdgeDeskError.isInstance(error)) return error.sentence;
  throw new Error(`no EdgeDeskError but ${String(error)}`);
}

/** Logits `[seq, vocab]` of an artefact for a fresh prompt. */
async function logitsOf(
  artefact: string,
  config: DecoderConfig,
  ids: readonly number[],
): Promise<Float32Array> {
  const manifest = await readManifest(openFolder(inRoot(artefact)));
  const model = await readFile(join(inRoot(artefact), manifest.model));
  const session = await nodeBackend().createSession(model, {
    externalData: join(inRoot(artefact), 'onnx'),
    threads: 1,
    spin: false,
  });
  const feeds: Record<string, Tensor> = {
    input_ids: tensor.i64(ids, [1, ids.length]),
    attention_mask: tensor.i64(new Array<number>(ids.length).fill(1), [1, ids.length]),
  };
  for (const name of session.inputNames) {
    feeds[name] ??= tensor.zeros([1, config.kvHeadCount, 0, config.headDim]);
  }
  const { logits } = await session.run(feeds, ['logits']);
  await session.release();
  return logits!.data as Float32Array;
}

describe.each([
  { bits: 32, file: 'model.onnx', dtype: 'fp32' },
  { bits: 16, file: 'model_fp16.onnx', dtype: 'fp16' },
  { bits: 8, file: 'model_quantized.onnx', dtype: 'q8' },
  { bits: 4, file: 'model_q4.onnx', dtype: 'q4' },
] as const)('compress to $bits bits', ({ bits, file, dtype }) => {
  const out = `out-${bits}`;
  beforeAll(async () => {
    const done: number[] = [];
    await compress({
      source: openFolder(inRoot('base')),
      bits,
      outDir: inRoot(out),
      onProgress: (p) => done.push(p.done / p.total),
    });
    expect(done).toHaveLength(weightShapes(tinyConfig).size);
    expect(done.at(-1)).toBe(1);
  });

  it('writes a whole artefact that its manifest describes', async () => {
    const store = openFolder(inRoot(out));
    const manifest = await readManifest(store);
    await verifyArtefact(store, manifest, nodeSha256);
    expect([...(await store.list())].sort()).toEqual(
      [...manifest.files.map((f) => f.path), 'edgedesk.json'].sort(),
    );
    expect(manifest).toMatchObject({ name: 'base', model: `onnx/${file}`, config: tinyConfig });
    expect(manifest.provenance).toHaveLength(bits === 32 ? 1 : 2);
  });

  it('counts the bytes that are on disk', async () => {
    const manifest = await readManifest(openFolder(inRoot(out)));
    const onDisk =
      (await stat(join(inRoot(out), 'onnx', file))).size +
      (await stat(join(inRoot(out), 'onnx', `${file}_data`))).size;
    expect(manifest.sizeBytes).toBe(onDisk);
    expect(manifest.parameters).toBe(parameterCount(tinyConfig));
    expect(manifest.bitsPerWeight).toBeCloseTo((8 * onDisk) / manifest.parameters, 10);
  });

  it('tells other runtimes where the model is', async () => {
    const json = async (path: string) =>
      JSON.parse(await readFile(join(inRoot(out), path), 'utf8')) as Record<string, unknown>;
    expect(await json('config.json')).toMatchObject({
      'transformers.js_config': { dtype, use_external_data_format: true },
      num_key_value_heads: 2,
    });
    expect(await json('genai_config.json')).toMatchObject({
      model: { eos_token_id: [2, 0], decoder: { filename: `onnx/${file}`, head_size: 16 } },
      search: { repetition_penalty: 1.1 },
    });
    expect(await json('generation_config.json')).toMatchObject({
      eos_token_id: [2, 0],
      repetition_penalty: 1.1,
    });
    const template = await readFile(join(inRoot(out), 'chat_template.jinja'), 'utf8');
    expect((await json('tokenizer_config.json')).chat_template).toBe(template);
    expect(await readFile(join(inRoot(out), 'tokenizer.json'))).toEqual(
      await readFile(join(inRoot('base'), 'tokenizer.json')),
    );
  });

  it('computes what the dense weights of its layers compute', async () => {
    const base = modelFromWeights('base', tinyConfig, generatedWeights(tinyConfig));
    const model = await applyRecipe(base, recipeForBits({ bits }));
    const replaced: Record<string, Float32Array<ArrayBuffer>> = {};
    for (const [name, slot] of model.linears) replaced[name] = toDense(await slot.read());
    const dense = `dense-${bits}`;
    await checkpointFolder(dense, tinyConfig, generatedWeights(tinyConfig, replaced));
    await compress({ source: openFolder(inRoot(dense)), bits: 32, outDir: inRoot(`${dense}-out`) });
    const ids = [5, 90, 17, 300, 44, 2, 60, 61];
    const got = await logitsOf(out, tinyConfig, ids);
    const expected = await logitsOf(`${dense}-out`, tinyConfig, ids);
    const scale = Math.max(...expected.map(Math.abs));
    // quantized kernels also round activations to 8 bits
    const allowed = bits <= 8 ? 0.03 : 1e-5;
    got.forEach((x, i) => expect(Math.abs(x - expected[i]!) / scale).toBeLessThan(allowed));
  });
});

describe('sizes', () => {
  const shape: DecoderConfig = {
    ...tinyConfig,
    vocabSize: 8192,
    hiddenSize: 384,
    intermediateSize: 1024,
    layerCount: 6,
    headCount: 6,
    kvHeadCount: 2,
    headDim: 64,
    contextLength: 2048,
  };
  const fileSize = (format: LinearFormat): number => {
    const fused = fuseDecoder(shape, { dataFile: 'model_q4.onnx_data', formatOf: () => format });
    return fused.dataSizeBytes + encodeModel(fused.graph).byteLength;
  };

  it('INT8 is 3.7 and INT4 6.5 times smaller than FP32, all tensors and the graph counted', () => {
    const fp32 = fileSize({ kind: 'dense', storage: 'f32' });
    const nbit = { kind: 'nbit', groupSize: 32, asymmetric: false } as const;
    expect(fp32 / fileSize({ ...nbit, bits: 8 })).toBeGreaterThan(3.7);
    expect(fp32 / fileSize({ ...nbit, bits: 4 })).toBeGreaterThan(6.5);
  });
});

describe('a failing compression', () => {
  const leftovers = async (): Promise<string[]> => (await readdir(root)).filter((n) => n.includes('failed'));

  it('leaves nothing when a weight in the middle is broken', async () => {
    const name = 'model.layers.1.mlp.up_proj.weight';
    const values = await generatedWeights(tinyConfig).readF32(name);
    values[5] = NaN;
    await checkpointFolder('nan', tinyConfig, generatedWeights(tinyConfig, { [name]: values }));
    const sentence = await sentenceOf(
      compress({ source: openFolder(inRoot('nan')), bits: 4, outDir: inRoot('failed') }),
    );
    expect(sentence).toContain(`"${name}" has the value NaN at index 5`);
    expect(await leftovers()).toEqual([]);
  });

  it('leaves the earlier artefact when it is cancelled', async () => {
    const outDir = inRoot('kept');
    await compress({ source: openFolder(inRoot('base')), bits: 8, outDir });
    const before = await readFile(join(outDir, 'edgedesk.json'), 'utf8');
    const controller = new AbortController();
    const cancelled = compress({
      source: openFolder(inRoot('base')),
      bits: 4,
      outDir,
      signal: controller.signal,
      onProgress: ({ done }) => done === 5 && controller.abort(new Error('enough')),
    });
    await expect(cancelled).rejects.toThrow('enough');
    expect(await readFile(join(outDir, 'edgedesk.json'), 'utf8')).toBe(before);
    expect((await readdir(root)).filter((n) => n.includes('partial'))).toEqual([]);
    await compress({ source: openFolder(inRoot('base')), bits: 4, outDir });
    expect((await readManifest(openFolder(outDir))).model).toBe('onnx/model_q4.onnx');
    expect((await readdir(join(outDir, 'onnx'))).sort()).toEqual(['model_q4.onnx', 'model_q4.onnx_data']);
  });

  it('never replaces a folder of somebody else', async () => {
    await mkdir(inRoot('foreign'));
    await writeFile(join(inRoot('foreign'), 'thesis.txt'), 'irreplaceable');
    const action = compress({ source: openFolder(inRoot('base')), bits: 4, outDir: inRoot('foreign') });
    expect(await sentenceOf(action)).toContain('did not write');
    expect(await readdir(inRoot('foreign'))).toEqual(['thesis.txt']);
  });

  it('says which file of the checkpoint is missing or broken', async () => {
    const broken = async (name: string, content: string | null): Promise<string> => {
      await checkpointFolder('broken', tinyConfig, generatedWeights(tinyConfig));
      const path = join(inRoot('broken'), name);
      await (content === null ? rm(path) : writeFile(path, content));
      const sentence = await sentenceOf(
        compress({ source: openFolder(inRoot('broken')), bits: 4, outDir: inRoot('failed') }),
      );
      await rm(inRoot('broken'), { recursive: true });
      expect(await leftovers()).toEqual([]);
      return sentence;
    };
    expect(await broken('tokenizer.json', null)).toMatch(/tokenizer\.json/);
    expect(await broken('tokenizer.json', '{"model":')).toMatch(/tokenizer\.json.*not JSON/);
    expect(await broken('tokenizer_config.json', '[1]')).toMatch(/tokenizer_config\.json/);
    expect(await broken('config.json', null)).toMatch(/config\.json/);
    expect(await broken('config.json', '{"model_type":"gpt2"}')).toMatch(/config\.json/);
    expect(await broken('model.safetensors', null)).toMatch(/model\.safetensors/);
    expect(await broken('model.safetensors', 'short')).toMatch(/model\.safetensors/);
  });

  it('refuses settings before it reads anything', async () => {
    const source = openFolder(inRoot('base'));
    expect(await sentenceOf(compress({ source, bits: 4, groupSize: 20, outDir: inRoot('failed') }))).toMatch(
      /groupSize/,
    );
    expect(await sentenceOf(compress({ source, bits: 16, groupSize: 32, outDir: inRoot('failed') }))).toMatch(
      /no groups/,
    );
    expect(await leftovers()).toEqual([]);
  });
});
