import type { DecoderConfig, LinearRole } from '@edgedesk/models';
import { decoder, expandLowering, linearShape, weightName, weightShapes } from '@edgedesk/models';
import type { Shape, Value } from '@edgedesk/tensor';
import { DifferentiableGraph, encodeModel } from '@edgedesk/tensor';

export interface LoraOptions {
  readonly rank: number;
  /** The update is scaled by alpha / rank. */
  readonly alpha: number;
  readonly roles: readonly LinearRole[];
}

export interface TrainingGraphOptions {
  readonly batch: number;
  readonly seq: number;
  /** Rows whose next-token prediction carries loss; only they reach the last MLP and the vocabulary head. */
  readonly lossRows: number;
  /** `evaluate` has no gradients. */
  readonly mode: 'train' | 'evaluate';
  readonly lora?: LoraOptions;
  /** Rows of the head computed at a time. @default 1024 */
  readonly chunk?: number;
}

/**
 * One training (or evaluation) step as an ONNX model. Inputs beside the weights: `token_ids` i64 `[batch * seq]`,
 * `segment_ids` i64 `[batch, seq]`, `loss_rows` i64 `[lossRows]` (flat rows), `targets` i64 `[lossRows]` and
 * `loss_weights` f32 `[lossRows, 1]` (0 for unused rows). Output `loss` f32 `[]` is the sum of weight * cross-entropy in
 * nats; `grad:NAME` its gradient for every parameter.
 */
export interface TrainingGraph {
  readonly model: Uint8Array<ArrayBuffer>;
  /** Trainable graph inputs. */
  readonly parameters: ReadonlyMap<string, Shape>;
  /** Weights that stay as they are (LoRA's base). */
  readonly frozen: ReadonlyMap<string, Shape>;
}

export const gradientOf = (parameter: string): string => `grad:${parameter}`;

/** Names of the adapter matrices of a weight, `[rank, in]` and `[out, rank]`. */
export const adapterNames = (layer: number, role: LinearRole): { a: string; b: string } => {
  const base = weightName.linear(layer, role).replace(/[.]weight$/, '');
  return { a: `${base}.lora_A.weight`, b: `${base}.lora_B.weight` };
};

/** Shapes of all adapter matrices, in checkpoint order. */
export function adapterShapes(config: DecoderConfig, lora: LoraOptions): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  for (let layer = 0; layer < config.layerCount; layer++) {
    for (const role of lora.roles) {
      const [out, inner] = linearShape(config, role);
      const { a, b } = adapterNames(layer, role);
      shapes.set(a, [lora.rank, inner]);
      shapes.set(b, [out, lora.rank]);
    }
  }
  return shapes;
}

export function buildTrainingGraph(config: DecoderConfig, options: TrainingGraphOptions): TrainingGraph {
  const { batch, seq, lossRows, lora } = options;
  const g = new DifferentiableGraph();
  const weights = weightShapes(config);
  const parameters: ReadonlyMap<string, Shape> = lora ? adapterShapes(config, lora) : weights;
  const frozen: ReadonlyMap<string, Shape> = lora ? weights : new Map<string, Shape>();
  const training = options.mode === 'train';
  const values = new Map<string, Value>();
  for (const [name, shape] of frozen) values.set(name, g.input(name, 'f32', shape));
  for (const [name, shape] of parameters) values.set(name, g.input(name, 'f32', shape, training));
  const weight = (name: string): Value => values.get(name)!;

  const rows = g.input('loss_rows', 'i64', [lossRows]);
  const targets = g.input('targets', 'i64', [lossRows]);
  const lossWeights = g.input('loss_weights', 'f32', [lossRows, 1]);
  const lowering = expandLowering(g, config, {
    batch,
    seq,
    tokenIds: g.input('token_ids', 'i64', [batch * seq]),
    segmentIds: g.input('segment_ids', 'i64', [batch, seq]),
    weight,
    rows,
    adapter: (layer, role) => {
      if (!lora?.roles.includes(role)) return undefined;
      const { a, b } = adapterNames(layer, role);
      return { a: weight(a), b: weight(b), scale: lora.alpha / lora.rank };
    },
    head: (hidden, head) =>
      g.apply('crossEntropy', [hidden, head], {
        targets,
        weights: lossWeights,
        chunk: options.chunk ?? 1024,
      }),
  });
  const loss = decoder(config, lowering);
  g.output(loss, 'loss');
  if (training) {
    const names = [...parameters.keys()];
    const gradients = g.gradients(loss, names.map(weight));
    names.forEach((name, i) => g.output(gradients[i]!, gradientOf(name)));
  }
  return { model: encodeModel(g, { order: 'reversed', inPlaceOutputs: true }), parameters, frozen };
}
