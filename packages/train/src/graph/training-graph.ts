import type { DecoderConfig, LinearRole } from '@edgedesk/models';
import {
  decoder,
  expandLowering,
  linearRoles,
  linearShape,
  weightName,
  weightShapes,
} from '@edgedesk/models';
import type { Shape, Value } from '@edgedesk/tensor';
import { DifferentiableGraph, encodeModel } from '@edgedesk/tensor';
import { type FakeQuantization, fakeQuantized, gridShapes } from '../qat/fake-quantization.js';

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
  readonly lora?: LoraOptions | undefined;
  /** Weights that are rounded before they are used; adapters are added before. */
  readonly quantize?: FakeQuantization | undefined;
  /** Learn from a teacher's predictions; inputs `teacher_hidden` `[lossRows, hidden]` and `teacher_head` are then its own. */
  readonly teacher?: TeacherShape | undefined;
  /** Rows of the head computed at a time. @default 1024 */
  readonly chunk?: number;
}

export interface TeacherShape {
  readonly hiddenSize: number;
  /** Of the loss: share * KL(teacher || model) + (1 - share) * cross-entropy. */
  readonly share: number;
}

/**
 * One training (or evaluation) step as an ONNX model. Inputs beside the weights: `token_ids` i64 `[batch * seq]`,
 * `segment_ids` i64 `[batch, seq]`, `loss_rows` i64 `[lossRows]` (flat rows), `targets` i64 `[lossRows]` and
 * `loss_weights` f32 `[lossRows, 1]` (0 for unused rows). Output `loss` f32 `[]` is the sum of weight * cross-entropy in
 * nats, or of the mixture with a teacher's; `grad:NAME` its gradient for every parameter.
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

/** What a graph reads beside the batch: numbers that training changes, and others. */
export function graphWeights(
  config: DecoderConfig,
  { lora, quantize }: Pick<TrainingGraphOptions, 'lora' | 'quantize'>,
): { readonly parameters: ReadonlyMap<string, Shape>; readonly frozen: ReadonlyMap<string, Shape> } {
  const weights = weightShapes(config);
  const grids = quantize && gridShapes(config, quantize);
  return {
    parameters: new Map([...(lora ? adapterShapes(config, lora) : weights), ...(grids?.gains ?? [])]),
    frozen: new Map([...(lora ? weights : []), ...(grids?.frozen ?? [])]),
  };
}

export function buildTrainingGraph(config: DecoderConfig, options: TrainingGraphOptions): TrainingGraph {
  const { batch, seq, lossRows, lora, quantize, teacher } = options;
  const g = new DifferentiableGraph();
  const { parameters, frozen } = graphWeights(config, options);
  const training = options.mode === 'train';
  const values = new Map<string, Value>();
  for (const [name, shape] of frozen) values.set(name, g.input(name, 'f32', shape));
  for (const [name, shape] of parameters) values.set(name, g.input(name, 'f32', shape, training));
  const input = (name: string): Value => values.get(name)!;
  const adapterOf = (layer: number, role: LinearRole) => {
    if (!lora?.roles.includes(role)) return undefined;
    const { a, b } = adapterNames(layer, role);
    return { a: input(a), b: input(b), scale: lora.alpha / lora.rank };
  };
  const adapted = new Map<string, NonNullable<ReturnType<typeof adapterOf>>>();
  for (let layer = 0; layer < config.layerCount; layer++) {
    for (const role of linearRoles) {
      const adapter = adapterOf(layer, role);
      if (adapter) adapted.set(weightName.linear(layer, role), adapter);
    }
  }
  const rounded = new Map<string, Value>();
  const weight = (name: string): Value => {
    if (!quantize?.formats.has(name)) return input(name);
    let value = rounded.get(name);
    if (!value) {
      let latent = input(name);
      const adapter = adapted.get(name);
      if (adapter) {
        const update = g.apply('matmul', [adapter.b, adapter.a], { alpha: adapter.scale });
        latent = g.apply('add', [latent, update], {});
      }
      rounded.set(name, (value = fakeQuantized(g, name, latent, quantize, input)));
    }
    return value;
  };

  const rows = g.input('loss_rows', 'i64', [lossRows]);
  const targets = g.input('targets', 'i64', [lossRows]);
  const weights = g.input('loss_weights', 'f32', [lossRows, 1]);
  const chunk = options.chunk ?? 1024;
  const distilled = teacher && {
    share: teacher.share,
    teacherHidden: g.input('teacher_hidden', 'f32', [lossRows, teacher.hiddenSize]),
    teacherHead: g.input('teacher_head', 'f32', [config.vocabSize, teacher.hiddenSize]),
  };
  const lowering = expandLowering(g, config, {
    batch,
    seq,
    tokenIds: g.input('token_ids', 'i64', [batch * seq]),
    segmentIds: g.input('segment_ids', 'i64', [batch, seq]),
    weight,
    rows,
    adapter: (layer, role) => {
      const name = weightName.linear(layer, role);
      return quantize?.formats.has(name) ? undefined : adapted.get(name);
    },
    head: (hidden, head) =>
      distilled
        ? g.apply('distillation', [hidden, head], { targets, weights, chunk, ...distilled })
        : g.apply('crossEntropy', [hidden, head], { targets, weights, chunk }),
  });
  const loss = decoder(config, lowering);
  g.output(loss, 'loss');
  if (training) {
    const names = [...parameters.keys()];
    const gradients = g.gradients(loss, names.map(input));
    names.forEach((name, i) => g.output(gradients[i]!, gradientOf(name)));
  }
  return { model: encodeModel(g, { order: 'reversed', inPlaceOutputs: true }), parameters, frozen };
}
