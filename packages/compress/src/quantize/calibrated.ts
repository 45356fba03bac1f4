import type { NBitFormat } from '@edgedesk/models';
import { weightName } from '@edgedesk/models';
import { RecipeError } from '@edgedesk/tensor';
import { z } from 'zod';
import { Gemm } from '../linear-algebra/gemm.js';
import type { LinearSlot, Model } from '../model.js';
import { denseWeight, withLinears } from '../model.js';
import type { PassContext } from '../pass.js';
import { definePass } from '../pass.js';
import { meanSquare, secondMoment } from '../sweep/statistic.js';
import type { BlockAlgorithm, SweepContext, SweepResult } from '../sweep/sweep.js';
import { sweepBlocks } from '../sweep/sweep.js';
import { factorHessian, gptq } from './gptq.js';
import { roundToGrids } from './grid.js';
import { plainSlot } from './plain-slot.js';
import { searchScales } from './scale-search.js';

const settings = z.strictObject({
  bits: z.literal([2, 4, 8]),
  /** Weights that share a scale. ONNX Runtime has kernels for these. */
  groupSize: z.literal([16, 32, 64, 128]).default(32),
  /** A zero point for each group. */
  asymmetric: z.boolean().default(false),
  /** Bits of the embedding and the head; 32 and 16 leave them plain floats. @default `bits` */
  embeddingBits: z.literal([2, 4, 8, 16, 32]).optional(),
});

type Settings = z.output<typeof settings>;

/** Share of the mean added to each input's mean square, so that no weight is of no account on other text. */
const importanceFloor = 0.01;

/** How much each input of a layer matters, from its mean squares. */
export function importanceOf(meanSquares: Float32Array): Float32Array {
  const mean = meanSquares.reduce((sum, x) => sum + x, 0) / meanSquares.length;
  return meanSquares.map((x) => (mean > 0 ? x + importanceFloor * mean : 1));
}

/** Rounding to nearest with scales that are searched for, each weight's error counted by its input's mean square. */
export const scaleSearchPass = definePass({
  name: 'scale-search',
  settings,
  needs: 'calibration',
  apply: (model, chosen, context) => {
    const format = formatIn(chosen);
    const algorithm: BlockAlgorithm<Float32Array> = {
      statistic: meanSquare,
      prepare: (observed) => {
        const importance = importanceOf(observed);
        return Promise.resolve((name, shape, weight) => {
          const grids = searchScales(weight, shape, format, importance, `${model.name}, tensor "${name}"`);
          return Promise.resolve(roundToGrids(weight, shape, format, grids));
        });
      },
    };
    return calibrated(model, 'scale-search', chosen, algorithm, sweepContext('scale-search', context));
  },
});

/** GPTQ with static groups and searched scales: the errors of rounding are made up for by the weights beside them. */
export const gptqPass = definePass({
  name: 'gptq',
  settings,
  needs: 'calibration',
  apply: async (model, chosen, context) => {
    const sweep = sweepContext('gptq', context);
    const format = formatIn(chosen);
    const gemm = new Gemm(sweep.backend, sweep.threads ?? sweep.backend.cores);
    const algorithm: BlockAlgorithm<Float64Array> = {
      statistic: secondMoment,
      prepare: async (H, where) => {
        const factor = await factorHessian(H, gemm, where);
        return (name, shape, weight) =>
          gptq(weight, shape, format, factor, gemm, `${model.name}, tensor "${name}"`);
      },
    };
    try {
      return await calibrated(model, 'gptq', chosen, algorithm, sweep);
    } finally {
      await gemm.release();
    }
  },
});

const formatIn = ({ bits, groupSize, asymmetric }: Settings): NBitFormat => ({
  kind: 'nbit',
  bits,
  groupSize,
  asymmetric,
});

function sweepContext(pass: string, { sweep, signal }: PassContext): SweepContext {
  if (sweep) return { ...sweep, ...(signal ? { signal } : {}) };
  throw new RecipeError('this method looks at text, and none was given', {
    where: `pass "${pass}"`,
    fix: 'name files to calibrate on, or choose round-to-nearest',
  });
}

/** Sweeps the blocks now; the embedding and the head are quantized when they are read. */
async function calibrated<S>(
  model: Model,
  name: string,
  chosen: Settings,
  algorithm: BlockAlgorithm<S>,
  context: SweepContext,
): Promise<Model> {
  const { bits, groupSize, asymmetric, embeddingBits = bits } = chosen;
  const step = { bits, groupSize, asymmetric, embeddingBits };
  const calibrationTokens = context.calibration.ids.length;
  const result = await sweepBlocks(model, algorithm, { name, bits, groupSize, asymmetric }, context);
  const format = formatIn(chosen);
  return withLinears(
    model,
    (slot, weight) => {
      const layer = /^model\.layers\.(\d+)\./.exec(weight)?.[1];
      if (layer === undefined) return outerSlot(model, slot, weight, format, embeddingBits, result);
      return { shape: slot.shape, format, read: () => result.linear(Number(layer), weight) };
    },
    { step: name, settings: { ...step, calibrationTokens } },
  );
}

/** The embedding or the head; what the head reads has been observed, and a tied embedding is the head. */
function outerSlot(
  model: Model,
  slot: LinearSlot,
  weight: string,
  grouped: NBitFormat,
  bits: 2 | 4 | 8 | 16 | 32,
  { headInput }: SweepResult,
): LinearSlot {
  const { shape } = slot;
  if (bits === 16 || bits === 32) return plainSlot(slot, bits);
  const format: NBitFormat = { ...grouped, bits };
  const isHead = weight === weightName.head || model.config.tiedEmbedding;
  const importance = isHead ? importanceOf(headInput) : new Float32Array(shape[1]).fill(1);
  return {
    shape,
    format,
    read: async () => {
      const dense = denseWeight(await slot.read());
      const grids = searchScales(dense, shape, format, importance, `${model.name}, tensor "${weight}"`);
      return roundToGrids(dense, shape, format, grids);
    },
  };
}
