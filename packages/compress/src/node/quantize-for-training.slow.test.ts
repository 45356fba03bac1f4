import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NBitLinear } from '@edgedesk/models';
import { loadCheckpoint, toDense, weightName } from '@edgedesk/models';
import { openFolder } from '@edgedesk/models/node';
import { EdgeDeskError } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { runRecipe } from '@edgedesk/train/node';
import { describe, expect, it } from 'vitest';
import { tinyRecipe } from '../../../train/src/node/tiny-recipe.case.js';
import { modelFromWeights } from '../model.js';
import { applyRecipe } from '../recipe.js';
import { compress } from './compress.js';
import { quantizeForTraining } from './quantize-for-training.js';

const backend = nodeBackend();

async function train(changes: Readonly<Record<string, string>>): Promise<string> {
  const recipePath = await tinyRecipe(changes);
  const outDir = join(dirname(recipePath), 'run');
  const { modelDir } = await runRecipe({
    recipePath,
    outDir,
    backend,
    quantizer: quantizeForTraining,
  });
  return modelDir!;
}

/** Layers of a trained checkpoint as `compress --method trained` takes them, and its plain weights, by name. */
async function takenOver(folder: string) {
  const { config, weights } = await loadCheckpoint(openFolder(folder));
  const plain = modelFromWeights('trained', config, weights);
  const model = await applyRecipe(plain, [{ pass: 'trained-grids' }]);
  const linears = new Map<string, NBitLinear>();
  const dense = new Map<string, Float32Array>();
  for (const [name, slot] of model.linears) {
    dense.set(name, await weights.readF32(name));
    if (slot.format.kind === 'nbit') linears.set(name, (await slot.read()) as NBitLinear);
  }
  await weights.close();
  return { linears, dense };
}

const quantized = (base: string, quantize: string, more: Readonly<Record<string, string>> = {}) => ({
  model: '',
  tokenizer: '',
  base,
  quantize,
  teacher: `{ model: ${base}, share: 0.9 }`,
  budget: '{ steps: 8 }',
  optimizer: '{ lr: 2.0e-3, weightDecay: 0 }',
  ...more,
});

describe('a model that was trained on its grids', { timeout: 600_000 }, () => {
  const base = tinyRecipe().then((recipePath) =>
    runRecipe({ recipePath, outDir: join(dirname(recipePath), 'run'), backend }).then((run) => run.modelDir!),
  );

  it.each([
    ['GPTQ, 4 bits', '{ bits: 4, embeddingBits: 8, calibrationTokens: 512 }', {}],
    [
      '3 bits asymmetric, fixed scales, adapters',
      '{ bits: 3, group: 16, symmetric: false, embeddingBits: 32, method: rtn, scales: fixed }',
      { lora: '{ rank: 4, alpha: 8, roles: [q, v, up, down] }' },
    ],
  ])('is quantized without a second loss: %s', async (_, quantize, more) => {
    const recipe = quantized(await base, quantize, more);
    const exact = await takenOver(await train({ ...recipe, output: '{ dtype: f32 }' }));
    // The trained weights, which are what the training graph computed with, are the levels times the scales.
    for (const [name, linear] of exact.linears) expect(toDense(linear)).toEqual(exact.dense.get(name));
    expect(exact.linears.has(weightName.linear(1, 'down'))).toBe(true);
    expect(exact.linears.has(weightName.embedding)).toBe(!quantize.includes('embeddingBits: 32'));
    // Plain weights in binary16 lose bits, levels and scales do not.
    const folder = await train({ ...recipe, output: '{ dtype: f16 }' });
    expect((await takenOver(folder)).linears).toEqual(exact.linears);

    const outDir = `${folder}-artefact`;
    const { quantization } = await compress({
      source: folder,
      outDir,
      recipe: [{ pass: 'trained-grids' }],
    });
    expect(JSON.stringify(quantization)).toMatch(/"groupSize":(16|32)/);
  });

  it('names what stands in the way, in one sentence', async () => {
    const sentence = (action: Promise<unknown>): Promise<string> =>
      action.then(
        () => 'no error',
        (error: unknown) => (EdgeDeskError.isInstance(error) ? error.sentence : String(error)),
      );
    const folder = await base;
    const plain = compress({
      source: folder,
      outDir: `${folder}-no`,
      recipe: [{ pass: 'trained-grids' }],
    });
    expect(await sentence(plain)).toMatch(/no weight of this checkpoint was trained on a grid; train it/);

    const recipePath = await tinyRecipe(quantized(folder, '{ bits: 4 }'));
    const outDir = join(dirname(recipePath), 'run');
    expect(await sentence(runRecipe({ recipePath, outDir, backend }))).toMatch(
      /recipe\.yaml, quantize: asks for quantization, and no quantizer was given; /,
    );

    const stranger = join(dirname(recipePath), 'stranger');
    const other = await tinyRecipe({
      name: 'other',
      tokenizer: '{ train: { vocabSize: 380 } }',
      budget: '{ steps: 1 }',
    });
    await runRecipe({ recipePath: other, outDir: stranger, backend });
    const taught = await tinyRecipe({
      ...quantized(folder, ''),
      quantize: '',
      teacher: `{ model: ${join(stranger, 'model')} }`,
    });
    expect(await sentence(runRecipe({ recipePath: taught, outDir: `${stranger}-2`, backend }))).toMatch(
      /the teacher has another vocabulary/,
    );
    await rm(stranger, { recursive: true });

    const changed = await train(quantized(folder, '{ bits: 4, method: rtn }'));
    const file = join(changed, 'model.safetensors');
    const bytes = await readFile(file);
    const header = Number(bytes.readBigUInt64LE(0));
    const entry = (
      JSON.parse(bytes.toString('utf8', 8, 8 + header)) as Record<string, { data_offsets: number[] }>
    )[weightName.linear(0, 'q')]!;
    bytes.writeUInt16LE(0x3c01, 8 + header + entry.data_offsets[0]! + 6);
    await writeFile(file, bytes);
    expect(await sentence(takenOver(changed))).toMatch(
      /q_proj\.weight": the weight at \[0, 3\] is 1\.000976\d*, which is on no level of its group's scale/,
    );
  });
});
