import { fileURLToPath } from 'node:url';
import { openFolder } from '@edgedesk/tensor/node';
import { describe, expect, it } from 'vitest';
import { type DecoderConfig, weightShapes } from '../config.js';
import { referenceConfigs, referenceWeight } from '../decoder/reference.case.js';
import { parseConfig } from '../parse-config.js';
import type { WeightSource } from '../weights.js';
import { checkWeights } from './check-weights.js';
import { openWeights } from './open-weights.js';
import { readJson } from './read-json.js';
import { readStored, storedShape, storedWeights, weightsByOurNames } from './stored-weights.js';

/** Made by transformers; see fixtures/make-checkpoints.py. */
const folderOf = (name: string) => openFolder(fileURLToPath(new URL(`fixtures/${name}`, import.meta.url)));

async function open(name: string): Promise<{ config: DecoderConfig; weights: WeightSource; stored: WeightSource }> {
  const folder = folderOf(name);
  const config = parseConfig(await readJson(folder, 'config.json', 2 ** 20));
  const stored = await openWeights(folder);
  const weights = weightsByOurNames(config, stored, name);
  checkWeights(config, weights, name);
  return { config, weights, stored };
}

const cases = [
  ['phi3', 'phi3-long', 1e-7],
  // Its norms go down by one and up again in f32.
  ['gemma3', 'gemma3', 2e-7],
  // In float16.
  ['gemma3-sees', 'gemma3', 1e-3],
] as const;

describe.each(cases)('%s, as transformers saves it', (name, label, tolerance) => {
  it('is the model whose logits are the reference', async () => {
    const { config, weights } = await open(name);
    const eosTokenIds = name === 'gemma3-sees' ? [1, 7] : [0];
    expect(config).toEqual({ ...referenceConfigs[label]!, eosTokenIds });
    for (const [weight, shape] of weightShapes(config)) {
      const expected = referenceWeight(weight, shape);
      const values = await weights.readF32(weight);
      expect(values.length).toBe(expected.length);
      expect(Math.max(...values.map((x, i) => Math.abs(x - expected[i]!))), weight).toBeLessThan(tolerance);
    }
    await weights.close();
  });
});

describe.each(['phi3', 'gemma3'])('%s', (name) => {
  it('is stored again under the same names, in the same shapes, with the same values', async () => {
    const { config, weights, stored } = await open(name);
    const shapes = weightShapes(config);
    const tensors = storedWeights(config);
    expect(tensors.map((tensor) => tensor.name).sort()).toEqual([...stored.tensors.keys()].sort());
    for (const tensor of tensors) {
      expect(storedShape(tensor, shapes), tensor.name).toEqual(stored.tensors.get(tensor.name)!.shape);
      const values = await readStored(tensor, (part) => weights.readF32(part));
      const expected = await stored.readF32(tensor.name);
      expect(Math.max(...values.map((x, i) => Math.abs(x - expected[i]!))), tensor.name).toBeLessThan(2e-7);
    }
    await weights.close();
  });
});

describe('a joint layer', () => {
  const change = async (edit: (tensors: Map<string, WeightSource['tensors'] extends ReadonlyMap<string, infer T> ? T : never>) => void) => {
    const { config, stored } = await open('phi3');
    const tensors = new Map(stored.tensors);
    edit(tensors);
    try {
      weightsByOurNames(config, { ...stored, tensors }, 'phi3');
    } finally {
      await stored.close();
    }
  };
  const name = 'model.layers.1.self_attn.qkv_proj.weight';

  it('that is missing is named as it is stored', async () => {
    await expect(change((tensors) => tensors.delete(name))).rejects.toThrow(`\`${name}\` is missing`);
  });

  it('of another shape is refused', async () => {
    await expect(
      change((tensors) => tensors.set(name, { ...tensors.get(name)!, shape: [60, 32] })),
    ).rejects.toThrow(/has shape \[60, 32\] but config.json asks for \[64, 32\]/);
  });

  it('is read apart in any order', async () => {
    const { weights } = await open('phi3');
    const of = (role: string) => `model.layers.0.self_attn.${role}_proj.weight`;
    const inOrder = [await weights.readF32(of('q')), await weights.readF32(of('k')), await weights.readF32(of('v'))];
    const [v, q, k] = await Promise.all([weights.readF32(of('v')), weights.readF32(of('q')), weights.readF32(of('k'))]);
    expect([q, k, v]).toEqual(inOrder);
    await weights.close();
  });
});
