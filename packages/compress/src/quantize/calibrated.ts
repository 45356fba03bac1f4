import type { LinearFormat, NBitFormat } from '@edgedesk/models';
import { weightName } from '@edgedesk/models';
import { RecipeError } from '@edgedesk/tensor';
import { z } from 'zod';
import { Gemm } from '../linear-algebra/gemm.js';
import type { LinearSlot, Model } from '../model.js';
import { denseWeight, withLinears } from '../model.js';
import type { PassContext } from '../pass.js';
import { definePass } from '../pass.js';
import type { BlockToRefine } from '../refine/refine-block.js';
import { BlockRefiner, maxRefineSteps, refinementVersion } from '../refine/refine-block.js';
import { meanSquare, secondMoment } from '../sweep/statistic.js';
import type { BlockAlgorithm, SweepContext, SweepResult } from '../sweep/sweep.js';
import { sweepBlocks } from '../sweep/sweep.js';
import { factorHessian, gptqWithDescent } from './gptq.js';
import { roundToGrids } from './grid.js';
import { importanceOf } from './importance.js';
import { plainSlot } from './plain-slot.js';
import { searchScales } from './scale-search.js';
import type { QuantizeSettings } from './settings.js';
import { formatOfWeight, quantizeSettings, recordedSettings } from './settings.js';

const calibratedSettings = quantizeSettings.extend({
  /** Steps in which rounding and scales of each block are tuned once its layers are solved. */
  refine: z.int().min(1).max(maxRefineSteps).optional(),
});
type CalibratedSettings = z.output<typeof calibratedSettings>;

/** Raise when a pass gives other bytes, so that no block of an interrupted earlier version is taken over. */
const solverVersion = 2;

/** Rounding to nearest with scales that are searched for, each weight's error counted by its input's mean square. */
export const scaleSearchPass = definePass({
  name: 'scale-search',
  settings: calibratedSettings,
  needs: 'calibration',
  apply: (model, settings, context) => {
    const algorithm: BlockAlgorithm<Float32Array> = {
      statistic: meanSquare,
      prepare: (observed) => {
        const importance = importanceOf(observed);
        return Promise.resolve((name, shape, weight) => {
          const format = groupedFormat(settings, name);
          const grids = searchScales(weight, shape, format, importance, `${model.name}, tensor "${name}"`);
          return Promise.resolve(roundToGrids(weight, shape, format, grids));
        });
      },
    };
    return calibrated(model, 'scale-search', settings, algorithm, sweepContext('scale-search', context));
  },
});

/** GPTQ with static groups and searched scales: the errors of rounding are made up for by the weights beside them. */
export const gptqPass = definePass({
  name: 'gptq',
  settings: calibratedSettings,
  needs: 'calibration',
  apply: async (model, settings, context) => {
    const sweep = sweepContext('gptq', context);
    const gemm = new Gemm(sweep.backend, sweep.threads ?? sweep.backend.cores);
    const algorithm: BlockAlgorithm<Float64Array> = {
      statistic: secondMoment,
      prepare: async (H, where) => {
        const factor = await factorHessian(H, gemm, where);
        return (name, shape, weight) => {
          const format = groupedFormat(settings, name);
          return gptqWithDescent(weight, shape, format, factor, gemm, `${model.name}, tensor "${name}"`);
        };
      },
    };
    try {
      return await calibrated(model, 'gptq', settings, algorithm, sweep);
    } finally {
      await gemm.release();
    }
  },
});

/** The format of a layer's weight, which is never left as plain floats. */
function groupedFormat(settings: QuantizeSettings, weight: string): NBitFormat {
  const format = formatOfWeight(settings, weight);
  if (format.kind === 'nbit') return format;
  throw new Error(`${weight} is no layer's weight`);
}

export function sweepContext(pass: string, { sweep, signal }: PassContext): SweepContext {
  if (sweep) return { ...sweep, ...(signal ? { signal } : {}) };
  throw new RecipeError('this method looks at text, and none was given', {
    where: `pass "${pass}"`,
    fix: 'name files to calibrate on, or choose round-to-nearest',
  });
}

const isInLayer = (weight: string): boolean => weight !== weightName.embedding && weight !== weightName.head;

/** Sweeps the blocks now; the embedding and the head are quantized when they are read. */
async function calibrated<S>(
  model: Model,
  name: string,
  settings: CalibratedSettings,
  solver: BlockAlgorithm<S>,
  context: SweepContext,
): Promise<Model> {
  const { refine } = settings;
  if (refine === undefined) return swept(model, name, settings, solver, context);
  const { backend, threads = backend.cores, signal } = context;
  const refiner = new BlockRefiner(model.config, refine, backend, threads, signal);
  try {
    const algorithm = { ...solver, refine: (block: BlockToRefine) => refiner.refine(block) };
    return await swept(model, name, settings, algorithm, context);
  } finally {
    await refiner.release();
  }
}

async function swept<S>(
  model: Model,
  name: string,
  settings: CalibratedSettings,
  algorithm: BlockAlgorithm<S>,
  context: SweepContext,
): Promise<Model> {
  const { refine } = settings;
  const layers = [...model.linears.keys()].filter(isInLayer);
  const formats = layers.map((weight) => [weight, formatOfWeight(settings, weight)]);
  const decisive = {
    name,
    solverVersion,
    formats,
    ...(refine === undefined ? {} : { refine, refinementVersion }),
  };
  const result = await sweepBlocks(model, algorithm, decisive, context);
  return withLinears(
    model,
    (slot, weight) => {
      const format = formatOfWeight(settings, weight);
      if (!isInLayer(weight)) return outerSlot(model, slot, weight, format, result);
      const layer = Number(/^model\.layers\.(\d+)\./.exec(weight)![1]);
      return { shape: slot.shape, format, read: () => result.linear(layer, weight) };
    },
    {
      step: name,
      settings: {
        ...recordedSettings(settings),
        ...(refine === undefined ? {} : { refine }),
        calibrationTokens: context.calibration.ids.length,
      },
    },
  );
}

/** The embedding or the head; what the head reads has been observed, and a tied embedding is the head. */
function outerSlot(
  model: Model,
  slot: LinearSlot,
  weight: string,
  format: LinearFormat,
  { headInput }: SweepResult,
): LinearSlot {
  const { shape } = slot;
  if (format.kind === 'dense') return plainSlot(slot, format);
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
