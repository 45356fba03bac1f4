import type { DecoderConfig, LinearRole } from '@edgedesk/models';
import {
  expandLowering,
  feedForwardNorm,
  isLocal,
  linearShape,
  weightName,
  weightShapes,
} from '@edgedesk/models';
import type { Value } from '@edgedesk/tensor';
import { DifferentiableGraph, encodeModel } from '@edgedesk/tensor';
import type { Statistic } from './statistic.js';

/**
 * The parts of one decoder block between which its linear layers are quantized. Rows are tokens; `hidden`, `middle` (after
 * attention) and the result are the residual stream `[tokens, hidden]`.
 *
 *   attentionInput  hidden -> (input of q, k and v)
 *   attention       hidden -> attended `[tokens, heads * headDim]`, the input of o
 *   mlpInput        hidden, attended -> middle; its norm is the input of gate and up
 *   mlp             middle -> gated `[tokens, intermediate]`, the input of down
 *   output          middle, gated -> hidden of the next block
 *   mlpOutput       middle -> hidden of the next block, for when `gated` was not kept
 *   block           hidden -> hidden of the next block, all at once
 *   headInput       hidden -> (input of the head)
 */
export type Part =
  'attentionInput' | 'attention' | 'mlpInput' | 'mlp' | 'output' | 'mlpOutput' | 'block' | 'headInput';

export interface PartShape {
  readonly batch: number;
  readonly seq: number;
}

/** Graph input and output names beside the weights, which go by their names in layer 0. */
export const wire = {
  hidden: 'hidden',
  attended: 'attended',
  middle: 'middle',
  gated: 'gated',
  segments: 'segment_ids',
  result: 'result',
  statistic: 'statistic',
} as const;

/** Linear layers that read what a part ends in. */
export const rolesAfter = {
  attentionInput: ['q', 'k', 'v'],
  attention: ['o'],
  mlpInput: ['gate', 'up'],
  mlp: ['down'],
} as const satisfies Partial<Record<Part, readonly LinearRole[]>>;

/** The block as a decoder of its own: layer 0 of one. */
export function blockConfig(config: DecoderConfig, layer: number): DecoderConfig {
  const { local } = config;
  return {
    ...config,
    layerCount: 1,
    ...(local ? { local: { ...local, layers: [isLocal(config, layer)] } } : {}),
  };
}

/** Every weight of a block with its shape, by its name in layer 0; all blocks have the same. */
export function blockWeights(config: DecoderConfig): Map<string, readonly number[]> {
  const shapes = weightShapes(blockConfig(config, 0));
  return new Map([...shapes].filter(([name]) => name.startsWith('model.layers.0.')));
}

/** Whether blocks that attend in another way (to a window, or rotated otherwise) need a graph of their own for this part. */
export function attends(part: Part): boolean {
  return part === 'attention' || part === 'block';
}

/**
 * One part as an ONNX model with its weights as inputs, so that all blocks that attend alike share it. `config` is that of
 * one block. `statistic` is summed over the tokens of the input that the next linear layers read; null leaves it out, as
 * `withResult` does the result.
 */
export function partModel(
  config: DecoderConfig,
  part: Part,
  { batch, seq }: PartShape,
  statistic: Statistic<unknown> | null,
  withResult: boolean,
): Uint8Array<ArrayBuffer> {
  const g = new DifferentiableGraph();
  const tokens = batch * seq;
  const shapes = blockWeights(config).set(weightName.finalNorm, [config.hiddenSize]);
  const weights = new Map([...shapes].map(([name, shape]) => [name, g.input(name, 'f32', shape)]));
  const residual = (name: string): Value => g.input(name, 'f32', [tokens, config.hiddenSize]);
  const ops = expandLowering(g, config, {
    batch,
    seq,
    tokenIds: g.input('token_ids', 'i64', [tokens]),
    segmentIds: g.input(wire.segments, 'i64', [batch, seq]),
    weight: (name) => weights.get(name)!,
    head: (hidden) => hidden,
  });
  const outputNorm = (x: Value, name: string): Value => (config.outputNorms ? ops.norm(x, name) : x);
  const fromAttention = (attended: Value): Value =>
    outputNorm(ops.linear(attended, 0, 'o'), weightName.postAttentionNorm(0));
  const gateUp = (middle: Value): Value =>
    ops.gated(ops.project(ops.norm(middle, feedForwardNorm(config, 0)), 0, ['gate', 'up']));
  const output = (middle: Value, gated: Value): Value => {
    const fromGated = outputNorm(ops.linear(gated, 0, 'down'), weightName.postFeedForwardNorm(0));
    return g.apply('add', [middle, fromGated], {});
  };
  const finish = (result: Value | null, input: Value | null): void => {
    if (statistic && input) g.output(statistic.lower(g, input), wire.statistic);
    if (result && withResult) g.output(result, wire.result);
  };
  switch (part) {
    case 'attentionInput':
      finish(null, ops.norm(residual(wire.hidden), weightName.inputNorm(0)));
      break;
    case 'attention': {
      const normed = ops.norm(residual(wire.hidden), weightName.inputNorm(0));
      const attended = ops.attention(ops.project(normed, 0, ['q', 'k', 'v']), 0);
      finish(attended, attended);
      break;
    }
    case 'mlpInput': {
      const attended = g.input(wire.attended, 'f32', [tokens, linearShape(config, 'o')[1]]);
      const delta = fromAttention(attended);
      const { sum, normed } = ops.addNorm(residual(wire.hidden), delta, feedForwardNorm(config, 0));
      finish(sum, normed);
      break;
    }
    case 'mlp': {
      const gated = gateUp(residual(wire.middle));
      finish(gated, gated);
      break;
    }
    case 'output':
    case 'mlpOutput': {
      const middle = residual(wire.middle);
      const gated =
        part === 'output' ? g.input(wire.gated, 'f32', [tokens, config.intermediateSize]) : gateUp(middle);
      finish(output(middle, gated), null);
      break;
    }
    case 'block': {
      const hidden = residual(wire.hidden);
      const normed = ops.norm(hidden, weightName.inputNorm(0));
      const attended = ops.attention(ops.project(normed, 0, ['q', 'k', 'v']), 0);
      const middle = g.apply('add', [hidden, fromAttention(attended)], {});
      finish(output(middle, gateUp(middle)), null);
      break;
    }
    case 'headInput':
      finish(null, ops.norm(residual(wire.hidden), weightName.finalNorm));
      break;
  }
  return encodeModel(g, { inPlaceOutputs: true });
}
