import type {
  DecoderConfig,
  Linear,
  LinearFormat,
  ProvenanceStep,
  TrainedGrid,
  WeightSource,
} from '@edgedesk/models';
import { checkWeights, readTrainedGrid, toDense, weightShapes } from '@edgedesk/models';
import { CheckpointError, elementCount } from '@edgedesk/tensor';

/** A linear weight of a model, read (and computed) when asked for. */
export interface LinearSlot {
  readonly shape: readonly [number, number];
  readonly format: LinearFormat;
  /** The weight in `format`; the caller owns it, and nobody keeps another copy. */
  read(): Promise<Linear>;
}

/**
 * A decoder on its way through compression. Immutable: a pass returns another model. Weights are lazy, so a model
 * larger than memory can be compressed; whoever opened the checkpoint closes it after the last read.
 */
export interface Model {
  readonly name: string;
  readonly config: DecoderConfig;
  /** Every matrix by checkpoint name: the embedding, the layers' linear weights, an untied head. */
  readonly linears: ReadonlyMap<string, LinearSlot>;
  /** A norm or bias. */
  readVector(name: string): Promise<Float32Array>;
  /** The grid that the checkpoint's matrix was trained on; null when on none. */
  readonly readGrid?: ((weight: string) => Promise<TrainedGrid | null>) | undefined;
  /** How this model came about, oldest first. */
  readonly provenance: readonly ProvenanceStep[];
}

/**
 * The checkpoint's weights as a dense f32 model. CheckpointError when a tensor is missing or has another shape than
 * `config` asks for; on reading, when a weight is not finite.
 */
export function modelFromWeights(name: string, config: DecoderConfig, weights: WeightSource): Model {
  checkWeights(config, weights, name);
  const linears = new Map<string, LinearSlot>();
  for (const [weight, shape] of weightShapes(config)) {
    if (shape.length !== 2) continue;
    const [rows, columns] = [shape[0]!, shape[1]!];
    linears.set(weight, {
      shape: [rows, columns],
      format: { kind: 'dense', storage: 'f32' },
      read: async () => ({
        kind: 'dense',
        storage: 'f32',
        shape: [rows, columns],
        weight: await readFinite(name, weights, weight),
      }),
    });
  }
  return {
    name,
    config,
    linears,
    readVector: (weight) => readFinite(name, weights, weight),
    readGrid: (weight) => readTrainedGrid(weights, weight, name),
    provenance: [{ step: 'checkpoint', settings: { name } }],
  };
}

/** A model whose linear weights `change` has replaced, with one more step in its provenance. */
export function withLinears(
  model: Model,
  change: (slot: LinearSlot, weight: string) => LinearSlot,
  step: ProvenanceStep,
): Model {
  return {
    ...model,
    linears: new Map([...model.linears].map(([weight, slot]) => [weight, change(slot, weight)])),
    provenance: [...model.provenance, step],
  };
}

/** The weights that `linear` stands for, `[out, in]` f32; its own array where it holds just these. */
export function denseWeight(linear: Linear): Float32Array {
  return linear.kind === 'dense' && linear.storage === 'f32' ? linear.weight : toDense(linear);
}

/** Weights of every tensor, a tied head counted once. */
export function parameterCount(config: DecoderConfig): number {
  let count = 0;
  for (const shape of weightShapes(config).values()) count += elementCount(shape);
  return count;
}

async function readFinite(
  name: string,
  weights: WeightSource,
  weight: string,
): Promise<Float32Array<ArrayBuffer>> {
  const values = await weights.readF32(weight);
  // x - x is 0 for every finite x and NaN for the others; one sum finds any of them.
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! - values[i]!;
  if (sum === 0) return values;
  const at = values.findIndex((x) => !Number.isFinite(x));
  throw new CheckpointError(`tensor "${weight}" has the value ${values[at]} at index ${at}`, {
    where: name,
    fix: 'use a checkpoint from before training diverged',
  });
}
