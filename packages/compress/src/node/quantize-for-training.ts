import type { NBitLinear } from '@edgedesk/models';
import { nodeSha256, openCheckpoint } from '@edgedesk/models/node';
import { nodeBackend } from '@edgedesk/tensor/node';
import type { StartQuantizer } from '@edgedesk/train/node';
import { modelFromWeights } from '../model.js';
import type { PassContext } from '../pass.js';
import { applyRecipe, needsCalibration, recipeForBits } from '../recipe.js';
import { readCalibration } from './calibration-files.js';
import { workFolder } from './work-folder.js';

/** Quantizes the base of quantization-aware training by our own solvers; the `quantizer` of `runRecipe`. */
export const quantizeForTraining: StartQuantizer = async (request) => {
  const { base, quantize, calibration: files, workPath, signal, onProgress } = request;
  const { bits, group, symmetric, method, embeddingBits, calibrationTokens } = quantize;
  const recipe = recipeForBits({
    bits,
    method,
    groupSize: group,
    asymmetric: !symmetric,
    ...(embeddingBits === undefined ? {} : { embeddingBits }),
  });
  const checkpoint = await openCheckpoint(base);
  try {
    const { config, tokenizer, weights, name } = checkpoint;
    const cancel = signal ? { signal } : {};
    let context: PassContext = cancel;
    if (needsCalibration(recipe)) {
      const tokens = calibrationTokens === undefined ? {} : { tokens: calibrationTokens };
      const calibration = await readCalibration({ files, ...tokens }, tokenizer, config);
      context = {
        ...cancel,
        sweep: {
          calibration,
          backend: nodeBackend(),
          workspace: workFolder(workPath),
          sha256: nodeSha256,
          onProgress: ({ done, total }) => onProgress(done, total),
        },
      };
    }
    const model = await applyRecipe(modelFromWeights(name, config, weights), recipe, context);
    const linears = new Map<string, NBitLinear>();
    for (const [weight, slot] of model.linears) {
      if (slot.format.kind === 'nbit') linears.set(weight, (await slot.read()) as NBitLinear);
    }
    return linears;
  } finally {
    await checkpoint.weights.close();
  }
};
