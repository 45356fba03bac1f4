import type { DecoderConfig, NBitFormat } from '@edgedesk/models';
import { decoder, expandLowering, weightName, weightShapes } from '@edgedesk/models';
import type { Shape, Value } from '@edgedesk/tensor';
import { DifferentiableGraph, encodeModel } from '@edgedesk/tensor';
import { type FakeQuantization, fakeQuantized, gradientOf, gridShapes } from '@edgedesk/train';

/** Graph inputs beside the block's weights and grids. */
export const tuningWire = {
  hidden: 'hidden',
  target: 'target',
  tokenWeights: 'token_weights',
  segments: 'segment_ids',
  loss: 'loss',
} as const;

export interface TuningShape {
  readonly batch: number;
  readonly seq: number;
  /** Of the linear layers, by their names in layer 0. */
  readonly formats: ReadonlyMap<string, NBitFormat>;
}

/** The trained inputs of the graph: latent weights and gains of their scales. */
export function tunedInputs(config: DecoderConfig, { formats }: TuningShape): Map<string, Shape> {
  const shapes = weightShapes(config);
  const inputs = new Map<string, Shape>();
  for (const name of formats.keys()) inputs.set(name, shapes.get(name)!);
  for (const [name, shape] of gridShapes(config, { formats, learnScales: true }).gains)
    inputs.set(name, shape);
  return inputs;
}

/**
 * The distance of a fake-quantized block's output from what it should be, as an ONNX model: sum over tokens of their weight
 * times the squared error, with its gradient for every tuned input in `train` mode. `hidden` and `target` are
 * `[tokens, hidden]`, `token_weights` `[tokens, 1]`.
 */
export function tuningGraph(
  config: DecoderConfig,
  shape: TuningShape,
  mode: 'train' | 'evaluate',
): Uint8Array<ArrayBuffer> {
  const { batch, seq, formats } = shape;
  const g = new DifferentiableGraph();
  const tokens = batch * seq;
  const quantization: FakeQuantization = { formats, learnScales: true };
  const tuned = tunedInputs(config, shape);
  const values = new Map<string, Value>();
  for (const [name, dims] of gridShapes(config, quantization).frozen)
    values.set(name, g.input(name, 'f32', dims));
  for (const [name, dims] of tuned) values.set(name, g.input(name, 'f32', dims, mode === 'train'));
  for (const [name, dims] of weightShapes(config)) {
    if (!values.has(name) && name.startsWith('model.layers.0.')) values.set(name, g.input(name, 'f32', dims));
  }
  const rounded = new Map<string, Value>();
  const weight = (name: string): Value => {
    const plain = values.get(name);
    if (!plain) throw new Error(`${name} is no weight of a block`);
    if (!formats.has(name)) return plain;
    const known =
      rounded.get(name) ?? fakeQuantized(g, name, plain, quantization, (input) => values.get(input)!);
    rounded.set(name, known);
    return known;
  };
  const hidden = g.input(tuningWire.hidden, 'f32', [tokens, config.hiddenSize]);
  const target = g.input(tuningWire.target, 'f32', [tokens, config.hiddenSize]);
  const weights = g.input(tuningWire.tokenWeights, 'f32', [tokens, 1]);
  const ops = expandLowering(g, config, {
    batch,
    seq,
    tokenIds: g.i64([0]),
    segmentIds: g.input(tuningWire.segments, 'i64', [batch, seq]),
    weight,
    head: (output) => output,
  });
  const output = decoder(config, {
    ...ops,
    embed: () => hidden,
    // What follows the block's last sum belongs to the model's head.
    addNorm: (residual, delta, name) => {
      if (name !== weightName.finalNorm) return ops.addNorm(residual, delta, name);
      const sum = g.apply('add', [residual, delta], {});
      return { sum, normed: sum };
    },
    head: (sum) => sum,
  });
  const error = g.apply('sub', [output, target], {});
  const perToken = g.apply('reduceSum', [g.apply('mul', [error, error], {})], { axes: [1], keepDims: true });
  const weighted = g.apply('mul', [perToken, weights], {});
  const loss = g.apply('reduceSum', [weighted], { axes: [0, 1], keepDims: false });
  g.output(loss, tuningWire.loss);
  if (mode === 'train') {
    const names = [...tuned.keys()];
    const gradients = g.gradients(
      loss,
      names.map((name) => values.get(name)!),
    );
    names.forEach((name, i) => g.output(gradients[i]!, gradientOf(name)));
  }
  return encodeModel(g, { order: 'reversed', inPlaceOutputs: true });
}
