// Artefacts of two decoder shapes with random weights. Speed and memory do not depend on what the weights say.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { applyRecipe, modelFromWeights, recipeForBits, writeArtefact } from '@edgedesk/compress';
import { chatMlSpecialTokens, chatMlTokenizerFiles, trainByteLevelBpe, weightShapes } from '@edgedesk/models';
import { nodeSha256 } from '@edgedesk/models/node';
import { writeFolderAtomic } from '@edgedesk/tensor/node';

const common = {
  modelType: 'llama',
  headDim: 64,
  normEpsilon: 1e-5,
  tiedEmbedding: true,
  qkvBias: false,
  qkNorm: false,
  bosTokenId: null,
  eosTokenIds: [2, 0],
  padTokenId: 0,
};

export const shapes = {
  // About 12.6M parameters: the shape of models/edgedesk-base.
  base: {
    ...common,
    vocabSize: 8192,
    hiddenSize: 384,
    intermediateSize: 1024,
    layerCount: 6,
    headCount: 6,
    kvHeadCount: 2,
    contextLength: 2048,
    ropeTheta: 10_000,
  },
  // SmolLM2-135M.
  '135m': {
    ...common,
    vocabSize: 49_152,
    hiddenSize: 576,
    intermediateSize: 1536,
    layerCount: 30,
    headCount: 9,
    kvHeadCount: 3,
    contextLength: 8192,
    ropeTheta: 100_000,
  },
};

/** The artefact of `shape` at `bits` in `folder`, made when it is not there yet. */
export async function ensureArtefact(folder, shape, bits) {
  const out = join(folder, `${shape}-int${bits}`.replace('int32', 'fp32').replace('int16', 'fp16'));
  if (existsSync(join(out, 'edgedesk.json'))) return out;
  const config = shapes[shape];
  const base = modelFromWeights(`${shape}-random`, config, randomWeights(config));
  const model = await applyRecipe(base, recipeForBits({ bits }));
  const tokenizer = await trainByteLevelBpe(['What may I help you with? 请问有什么可以帮您？'], {
    vocabSize: 300,
    specialTokens: chatMlSpecialTokens,
  });
  await writeFolderAtomic(out, (writer) =>
    writeArtefact({
      model,
      companions: {
        tokenizerFiles: chatMlTokenizerFiles(tokenizer, config.contextLength),
        generationConfig: {},
      },
      folder: writer,
      sha256: nodeSha256,
    }),
  );
  return out;
}

/** Weights of the usual spread, the same on every machine: uniform in +-2 / sqrt(columns), norms 1. */
function randomWeights(config) {
  const shapeOf = weightShapes(config);
  const tensors = new Map([...shapeOf].map(([name, shape]) => [name, { name, dtype: 'f32', shape }]));
  return {
    tensors,
    async readF32(name) {
      const shape = shapeOf.get(name);
      const weight = new Float32Array(shape.reduce((a, b) => a * b, 1));
      if (shape.length === 1) return weight.fill(1);
      let state = [...name].reduce((hash, c) => (Math.imul(hash, 31) + c.charCodeAt(0)) | 0, 7) | 1;
      const spread = 2 / Math.sqrt(shape[1]);
      for (let i = 0; i < weight.length; i++) {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        weight[i] = (spread * state) / 2 ** 31;
      }
      return weight;
    },
    async close() {},
  };
}
