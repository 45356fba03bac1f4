import { formatOf, toDense, weightName } from '@edgedesk/models';
import { EdgeDeskError } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import { generatedWeights, tinyConfig } from './model.case.js';
import { modelFromWeights, parameterCount } from './model.js';
import { recipeForBudget } from './recipe-for-budget.js';
import { applyRecipe, needsCalibration, recipeForBits } from './recipe.js';

const model = modelFromWeights('tiny', tinyConfig, generatedWeights(tinyConfig));

async function sentenceOf(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (EdgeDeskError.isInstance(error)) return error.sentence;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('a recipe', () => {
  it('leaves the model it started from alone and records what was done', async () => {
    const quantized = await applyRecipe(model, [{ pass: 'round-to-nearest', bits: 4, embeddingBits: 8 }]);
    expect(model.linears.get(weightName.embedding)!.format).toEqual({ kind: 'dense', storage: 'f32' });
    expect(quantized.linears.get(weightName.embedding)!.format).toMatchObject({ bits: 8, groupSize: 32 });
    expect(quantized.linears.get(weightName.linear(1, 'down'))!.format).toMatchObject({ bits: 4 });
    expect(quantized.provenance).toEqual([
      { step: 'checkpoint', settings: { name: 'tiny' } },
      { step: 'round-to-nearest', settings: { bits: 4, groupSize: 32, asymmetric: false, embeddingBits: 8 } },
    ]);
    for (const [name, slot] of quantized.linears) {
      const linear = await slot.read();
      expect(formatOf(linear), name).toEqual(slot.format);
      expect(linear.shape).toEqual(slot.shape);
    }
  });

  it('stores 3 bits in 4, and 2 there too when told so', async () => {
    const settings = {
      bits: 3,
      embeddingBits: 2,
      formats: { [weightName.linear(0, 'v')]: { bits: 8, groupSize: 64 } },
    };
    const three = await applyRecipe(model, [{ pass: 'round-to-nearest', ...settings }]);
    const format = (of: typeof three, name: string) => of.linears.get(name)!.format;
    const grid = { kind: 'nbit', groupSize: 32, asymmetric: false };
    expect(format(three, weightName.linear(1, 'down'))).toEqual({ ...grid, bits: 4, levelBits: 3 });
    expect(format(three, weightName.linear(0, 'v'))).toEqual({ ...grid, bits: 8, groupSize: 64 });
    expect(format(three, weightName.embedding)).toEqual({ ...grid, bits: 2 });
    const wide = await applyRecipe(model, [{ pass: 'round-to-nearest', ...settings, storedBits: 4 }]);
    expect(format(wide, weightName.embedding)).toEqual({ ...grid, bits: 4, levelBits: 2 });
    // The container changes where a level stands in it, and nothing about the weights.
    const name = weightName.embedding;
    const dense = async (of: typeof three) => toDense(await of.linears.get(name)!.read());
    expect(await dense(wide)).toEqual(await dense(three));
    expect(wide.provenance.at(-1)!.settings).toMatchObject({ storedBits: 4, formatsByName: 1 });
  });

  it('composes: float16 first, then 8 bits', async () => {
    const both = await applyRecipe(model, [
      { pass: 'cast', storage: 'f16' },
      { pass: 'round-to-nearest', bits: 8 },
    ]);
    expect(both.provenance.map((s) => s.step)).toEqual(['checkpoint', 'cast', 'round-to-nearest']);
    expect((await both.linears.get(weightName.linear(0, 'q'))!.read()).kind).toBe('nbit');
  });

  it.each([
    [
      [{ pass: 'prune' }],
      'recipe: there is no pass "prune"; use one of round-to-nearest, scale-search, gptq, awq, mixed-precision, cast.',
    ],
    [[{ pass: 'round-to-nearest', bits: 5 }], 'pass "round-to-nearest", bits: '],
    [
      [{ pass: 'round-to-nearest', bits: 4, groupSize: 48 }],
      'pass "round-to-nearest", groupSize: Invalid option: expected one of 16|32|64|128',
    ],
    [[{ pass: 'round-to-nearest', bits: 4, grp: 32 }], 'pass "round-to-nearest": Unrecognized key: "grp"'],
    [[{ bits: 4 }], 'recipe, 0, pass: '],
    [{ pass: 'cast' }, 'recipe: '],
    [new Array<unknown>(101).fill({ pass: 'cast', storage: 'f16' }), 'recipe: '],
  ])('refuses %j', async (recipe, start) => {
    expect(await sentenceOf(() => applyRecipe(model, recipe))).toMatch(
      start.slice(0, 60).replace(/[.[\]]/g, '\\$&'),
    );
  });

  it('stops when it is cancelled', async () => {
    const controller = new AbortController();
    controller.abort(new Error('enough'));
    await expect(
      applyRecipe(model, [{ pass: 'cast', storage: 'f16' }], { signal: controller.signal }),
    ).rejects.toThrow('enough');
  });
});

describe('--bits', () => {
  it('means a recipe', () => {
    expect(recipeForBits({ bits: 32 })).toEqual([]);
    expect(recipeForBits({ bits: 16 })).toEqual([{ pass: 'cast', storage: 'f16' }]);
    expect(recipeForBits({ bits: 8, groupSize: 64, asymmetric: true })).toEqual([
      { pass: 'round-to-nearest', bits: 8, groupSize: 64, asymmetric: true },
    ]);
    expect(recipeForBits({ bits: 4, method: 'gptq', embeddingBits: 8 })).toEqual([
      { pass: 'gptq', bits: 4, embeddingBits: 8 },
    ]);
    expect(recipeForBits({ bits: 8, method: 'search' })).toEqual([{ pass: 'scale-search', bits: 8 }]);
    expect(recipeForBits({ bits: 3, storedBits: 8 })).toEqual([
      { pass: 'round-to-nearest', bits: 3, storedBits: 8 },
    ]);
    expect(recipeForBits({ bits: 4, method: 'awq+gptq', groupSize: 64, embeddingBits: 8 })).toEqual([
      { pass: 'awq', bits: 4, groupSize: 64 },
      { pass: 'gptq', bits: 4, groupSize: 64, embeddingBits: 8 },
    ]);
    expect(needsCalibration(recipeForBits({ bits: 4, method: 'gptq' }))).toBe(true);
    expect(needsCalibration(recipeForBits({ bits: 4 }))).toBe(false);
  });

  it('refuses what makes no sense', async () => {
    expect(await sentenceOf(() => recipeForBits({ bits: 5 as 4 }))).toBe(
      'bits: 5 bits cannot be stored; use one of 32, 16, 8, 4, 3, 2.',
    );
    expect(await sentenceOf(() => recipeForBits({ bits: 4, method: 'magic' as 'gptq' }))).toBe(
      'method: there is no method "magic"; use one of rtn, search, gptq, awq, awq+gptq.',
    );
    expect(await sentenceOf(() => recipeForBits({ bits: 16, method: 'gptq' }))).toContain('plain floats');
    expect(await sentenceOf(() => recipeForBits({ bits: 16, embeddingBits: 8 }))).toContain(
      'all weights alike',
    );
    expect(await sentenceOf(() => recipeForBits({ bits: 3, storedBits: 2 }))).toBe(
      'stored bits: 3 bits do not fit into 2; leave it out, or store them in more.',
    );
    expect(await sentenceOf(() => recipeForBits({ bits: 16, groupSize: 32 }))).toContain('have no groups');
    expect(await sentenceOf(() => recipeForBits({ bits: 32, asymmetric: true }))).toContain('have no groups');
  });
});

describe('a budget', () => {
  it('means a recipe', () => {
    expect(recipeForBudget({ targetBytes: 60e6 })).toEqual([
      { pass: 'mixed-precision', method: 'gptq', targetBytes: 60e6 },
    ]);
    const [scaling, mixing] = recipeForBudget({ bitsPerWeight: 3.6, method: 'awq', mixBits: [4, 8] });
    expect(scaling).toEqual({ pass: 'awq', bits: 4, groupSize: 32 });
    expect(mixing).toMatchObject({ pass: 'mixed-precision', method: 'search', bitsPerWeight: 3.6 });
    expect(new Set((mixing!.formats as { bits: number }[]).map(({ bits }) => bits))).toEqual(new Set([4, 8]));
  });

  it('refuses what makes no sense', async () => {
    expect(await sentenceOf(() => recipeForBudget({ targetBytes: 1e6, mixBits: [3] }))).toBe(
      'mix bits: no weight can be stored in 3 bits; use some of 2, 4 and 8.',
    );
    const sensitivity = { format: 1, model: 'm', method: 'gptq', probeTokens: 16, weights: [] } as const;
    expect(
      await sentenceOf(() =>
        recipeForBudget({ bitsPerWeight: 4, method: 'awq', sensitivity: { ...sensitivity, weights: [] } }),
      ),
    ).toMatch(/^sensitivity: AWQ changes the weights/);
  });
});

describe('a model', () => {
  it('refuses weights that are not numbers, by name and place', async () => {
    for (const [bad, word] of [
      [NaN, 'NaN'],
      [Infinity, 'Infinity'],
      [-Infinity, '-Infinity'],
    ] as const) {
      const name = weightName.linear(1, 'up');
      const values = await generatedWeights(tinyConfig).readF32(name);
      values[77] = bad;
      const broken = modelFromWeights('tiny', tinyConfig, generatedWeights(tinyConfig, { [name]: values }));
      const quantized = await applyRecipe(broken, recipeForBits({ bits: 4 }));
      expect(await sentenceOf(() => quantized.linears.get(name)!.read())).toContain(
        `tensor "${name}" has the value ${word} at index 77`,
      );
    }
  });

  it('refuses missing and misshapen tensors before reading any', async () => {
    const weights = generatedWeights(tinyConfig);
    const without = {
      ...weights,
      tensors: new Map([...weights.tensors].filter(([n]) => n !== weightName.finalNorm)),
    };
    expect(await sentenceOf(() => modelFromWeights('tiny', tinyConfig, without))).toContain(
      'model.norm.weight',
    );
    const wider = { ...tinyConfig, intermediateSize: 100 };
    expect(await sentenceOf(() => modelFromWeights('tiny', wider, weights))).toMatch(
      /gate_proj.weight.* \[96, 64\] but config.json asks for \[100, 64\]/,
    );
  });

  it('counts a tied head once', () => {
    const untied = parameterCount({ ...tinyConfig, tiedEmbedding: false });
    expect(untied - parameterCount(tinyConfig)).toBe(320 * 64);
  });
});
