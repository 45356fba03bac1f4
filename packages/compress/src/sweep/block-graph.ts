import type { DecoderConfig, LinearRole } from '@edgedesk/models';
import { expandLowering, linearRoles, linearShape, weightName } from '@edgedesk/models';
import type { Value } from '@edgedesk/tensor';
import { DifferentiableGraph, encodeModel, RecipeError } from '@edgedesk/tensor';
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

/** Blocks share one graph. RecipeError for a family whose blocks are not alike, or not Llama-shaped. */
function refuseUnlike({ modelType, local, outputNorms, embeddingScale }: DecoderConfig): void {
  const alike = local === undefined || local.layers.every((isLocal) => isLocal === local.layers[0]);
  if (alike && outputNorms !== true && (embeddingScale ?? 1) === 1) return;
  throw new RecipeError(
    `methods that look at text do not run on ${modelType} with its local and global layers yet`,
    {
      where: 'method',
      fix: 'choose the method "rtn"',
    },
  );
}

/** Every weight of a block with its shape, by its name in layer 0. */
export function blockWeights(config: DecoderConfig): Map<string, readonly number[]> {
  refuseUnlike(config);
  const { hiddenSize, headDim } = config;
  const shapes = new Map<string, readonly number[]>();
  for (const role of linearRoles) shapes.set(weightName.linear(0, role), linearShape(config, role));
  shapes.set(weightName.inputNorm(0), [hiddenSize]);
  shapes.set(weightName.postAttentionNorm(0), [hiddenSize]);
  for (const role of config.qkvBias ? (['q', 'k', 'v'] as const) : []) {
    shapes.set(weightName.bias(0, role), [linearShape(config, role)[0]]);
  }
  if (config.qkNorm) {
    shapes.set(weightName.qNorm(0), [headDim]);
    shapes.set(weightName.kNorm(0), [headDim]);
  }
  return shapes;
}

/**
 * One part as an ONNX model with its weights as inputs, so that all blocks share it. `statistic` is summed over the
 * tokens of the input that the next linear layers read; null leaves it out, as `withResult` does the result.
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
  const gateUp = (middle: Value): Value =>
    ops.gated(ops.project(ops.norm(middle, weightName.postAttentionNorm(0)), 0, ['gate', 'up']));
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
      const delta = ops.linear(attended, 0, 'o');
      const { sum, normed } = ops.addNorm(residual(wire.hidden), delta, weightName.postAttentionNorm(0));
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
      finish(g.apply('add', [middle, ops.linear(gated, 0, 'down')], {}), null);
      break;
    }
    case 'block': {
      const hidden = residual(wire.hidden);
      const normed = ops.norm(hidden, weightName.inputNorm(0));
      const attended = ops.attention(ops.project(normed, 0, ['q', 'k', 'v']), 0);
      const middle = g.apply('add', [hidden, ops.linear(attended, 0, 'o')], {});
      finish(g.apply('add', [middle, ops.linear(gateUp(middle), 0, 'down')], {}), null);
      break;
    }
    case 'headInput':
      finish(null, ops.norm(residual(wire.hidden), weightName.finalNorm));
      break;
  }
  return encodeModel(g, { inPlaceOutputs: true });
}
