import { weightShapes } from '@edgedesk/models';
import { nodeBackend } from '@edgedesk/tensor/node';
import { expect, it } from 'vitest';
import { generatedWeights, tinyGemmaConfig } from '../model.case.js';
import type { Model } from '../model.js';
import { denseWeight, modelFromWeights } from '../model.js';
import type { Method } from '../recipe.js';
import { applyRecipe, recipeForBits } from '../recipe.js';
import { calibrationText, sweepContext } from '../sweep/sweep.case.js';
import { wholeModel } from '../whole-model.case.js';

const tokens = 192;
const calibration = calibrationText(tokens, tinyGemmaConfig.vocabSize);

async function allWeights(model: Model): Promise<Record<string, Float32Array>> {
  const weights: Record<string, Float32Array> = {};
  for (const name of weightShapes(model.config).keys()) {
    const slot = model.linears.get(name);
    weights[name] = slot ? denseWeight(await slot.read()) : await model.readVector(name);
  }
  return weights;
}

it('every method that looks at text beats rounding on a model of local and global layers', async () => {
  const full = modelFromWeights('tiny', tinyGemmaConfig, generatedWeights(tinyGemmaConfig));
  const run = await wholeModel(full, calibration, nodeBackend());
  const expected = (await run()).slice();
  const divergence = async (method: Method): Promise<number> => {
    const recipe = recipeForBits({ bits: 3, method, groupSize: 32, embeddingBits: 32 });
    const model = await applyRecipe(full, recipe, { sweep: sweepContext(calibration) });
    const got = await run(await allWeights(model));
    return expected.reduce((sum, p, i) => sum + Math.exp(p) * (p - got[i]!), 0) / tokens;
  };
  const rounded = await divergence('rtn');
  const found: Partial<Record<Method, number>> = {};
  for (const method of ['search', 'gptq', 'awq', 'awq+gptq'] as const)
    found[method] = await divergence(method);
  for (const [method, kl] of Object.entries(found)) {
    expect(kl, `${method} of ${JSON.stringify(found)}`).toBeLessThan(0.95 * rounded);
  }
  expect(found.gptq).toBeLessThan(0.7 * rounded);
});
