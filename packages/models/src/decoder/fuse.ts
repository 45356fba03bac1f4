import type { Dim, Value } from '@edgedesk/tensor';
import { Graph, microsoftDomain, op } from '@edgedesk/tensor';
import type { DecoderConfig, LinearRole } from '../config.js';
import { linearShape, weightName } from '../config.js';
import type { LinearFormat } from '../linear/linear.js';
import { groupsPerRow } from '../linear/linear.js';
import type { Composites } from './decoder.js';
import { decoder } from './decoder.js';
import { rotationOf } from '../rotary/rotation.js';
import { fusedAttention } from './fuse-attention.js';
import { type RotaryCaches, rotaryCaches } from './fuse-rotary.js';
import type { PlacedUnit, WeightValues } from './fuse-weights.js';
import { WeightPlacement } from './fuse-weights.js';

export interface FuseOptions {
  /** Name of the file beside the model that holds the weights. */
  readonly dataFile: string;
  readonly formatOf: (weight: string) => LinearFormat;
  /**
   * MatMulNBits' accuracy level: 4 computes with int8 activations, the fast path; 1 keeps them f32.
   * @default 4
   */
  readonly accuracyLevel?: 1 | 4;
}

/** An inference graph and where its weights belong. */
export interface FusedDecoder {
  /**
   * Inputs: input_ids i64 `[batch, sequence]`, attention_mask i64 `[batch, total]` (padding on the right only),
   * past_key_values.{i}.key|value f32 `[batch, kvHeads, past, headDim]`. Outputs: logits f32
   * `[batch, sequence, vocab]`, present.{i}.key|value f32 `[batch, kvHeads, total, headDim]`.
   */
  readonly graph: Graph;
  readonly units: readonly PlacedUnit[];
  /** Length of the data file. */
  readonly dataSizeBytes: number;
}

/** Linear layers over one input: one value with the outputs side by side, or a value each. */
type Projected =
  { readonly packed: Value; readonly roles: readonly LinearRole[] } | { readonly parts: readonly Value[] };

/** transformers.js makes the first, empty cache from these names: `batch_size` is looked up, any other counts as 0. */
const batchSequence: readonly Dim[] = ['batch_size', 'sequence_length'];

/** The decoder on ONNX Runtime's fused operators, ready to encode; agrees with `expand` up to rounding. */
export function fuseDecoder(config: DecoderConfig, options: FuseOptions): FusedDecoder {
  const { dataFile, formatOf, accuracyLevel = 4 } = options;
  const { hiddenSize, vocabSize, layerCount, kvHeadCount, headDim, normEpsilon } = config;
  const g = new Graph();
  const weights = new WeightPlacement(g, config, dataFile, formatOf);
  const inputIds = g.input('input_ids', 'i64', batchSequence);
  const mask = g.input('attention_mask', 'i64', ['batch_size', 'total_sequence_length']);
  const pasts = Array.from({ length: layerCount }, (_, layer) =>
    (['key', 'value'] as const).map((kind) =>
      g.input(`past_key_values.${layer}.${kind}`, 'f32', ['batch_size', kvHeadCount, 'past_sequence_length', headDim]),
    ),
  );
  const { total, ...lengths } = sequenceLengths(g, mask);
  const rotaries = new Map<string, RotaryCaches>();
  const rotaryOf = (layer: number): RotaryCaches => {
    const rotation = rotationOf(config, layer);
    const caches = rotaries.get(rotation.name) ?? rotaryCaches(g, rotation, config.contextLength, total);
    rotaries.set(rotation.name, caches);
    return caches;
  };
  const table = weights.linear('embedding', [weightName.embedding]);

  const activation = (size: number) => ({ dtype: 'f32' as const, shape: [...batchSequence, size] });

  const matmul = (x: Value, weight: WeightValues, bias: Value | null, name?: string): Value => {
    const [rows, columns] = weight.shape;
    const output = { ...activation(rows), ...(name === undefined ? {} : { name }) };
    if (weight.format.kind === 'dense') {
      const stored = weight.parts.get('weight')!; // [out, in]
      const wide = stored.dtype === 'f32' ? stored : op.cast(g, stored, 'f32');
      const turned = op.transpose(g, wide, [1, 0]);
      if (!bias) return g.node('MatMul', [x, turned], output);
      return g.node('Add', [g.node('MatMul', [x, turned], activation(rows)), bias], output);
    }
    const { bits, groupSize } = weight.format;
    const zeroPoints = weight.parts.get('zeroPoints') ?? null;
    const inputs = [x, weight.parts.get('levels')!, weight.parts.get('scales')!, zeroPoints, null, bias];
    while (inputs.at(-1) === null) inputs.pop();
    return g.node('MatMulNBits', inputs, output, {
      domain: microsoftDomain,
      attributes: { K: columns, N: rows, bits, block_size: groupSize, accuracy_level: accuracyLevel },
    });
  };

  const embed = (): Value => {
    if (table.format.kind === 'dense') {
      const stored = table.parts.get('weight')!;
      const rows = g.node('Gather', [stored, inputIds], { ...activation(hiddenSize), dtype: stored.dtype });
      return stored.dtype === 'f32' ? rows : op.cast(g, rows, 'f32');
    }
    const { bits, groupSize } = table.format;
    const width = groupsPerRow(hiddenSize, groupSize) * groupSize;
    const levels = weights.alias('embedding.rows', table, 'levels', [vocabSize, (width * bits) / 8]);
    const zeroPoints = table.parts.get('zeroPoints');
    const inputs = [levels, inputIds, table.parts.get('scales')!, ...(zeroPoints ? [zeroPoints] : [])];
    const rows = g.node('GatherBlockQuantized', inputs, activation(width), {
      domain: microsoftDomain,
      attributes: { bits, block_size: groupSize, gather_axis: 0, quantize_axis: 1 },
    });
    return width === hiddenSize ? rows : op.slice(g, rows, -1, 0, hiddenSize);
  };

  const ops: Composites<Value, Projected> = {
    embed() {
      const rows = embed();
      const { embeddingScale = 1 } = config;
      return embeddingScale === 1 ? rows : g.node('Mul', [rows, g.scalar(embeddingScale)], activation(hiddenSize));
    },
    norm: (x, weight) =>
      g.node('SimplifiedLayerNormalization', [x, weights.vector(weight, [weight])], activation(hiddenSize), {
        attributes: { axis: -1, epsilon: { float: normEpsilon }, stash_type: 1 },
      }),
    addNorm(residual, delta, weight) {
      const [normed, , , sum] = g.nodeN(
        'SkipSimplifiedLayerNormalization',
        [delta, residual, weights.vector(weight, [weight])],
        {
          domain: microsoftDomain,
          attributes: { epsilon: { float: normEpsilon } },
          outputs: [activation(hiddenSize), null, null, activation(hiddenSize)],
        },
      );
      return { sum: sum!, normed: normed! };
    },
    project(x, layer, roles) {
      const project = (chosen: readonly LinearRole[]): Value => {
        const name = `layers.${layer}.${chosen.join('_')}`;
        const weight = weights.linear(
          name,
          chosen.map((role) => weightName.linear(layer, role)),
        );
        const biased = config.qkvBias && chosen.every((role) => role === 'q' || role === 'k' || role === 'v');
        const bias = biased
          ? weights.vector(
              `${name}.bias`,
              chosen.map((role) => weightName.bias(layer, role)),
            )
          : null;
        return matmul(x, weight, bias);
      };
      if (weights.stackable(roles.map((role) => weightName.linear(layer, role)))) {
        return { packed: project(roles), roles };
      }
      return { parts: roles.map((role) => project([role])) };
    },
    attention(qkv, layer) {
      const normed = config.qkNorm
        ? {
            q: weights.vector(weightName.qNorm(layer), [weightName.qNorm(layer)]),
            k: weights.vector(weightName.kNorm(layer), [weightName.kNorm(layer)]),
          }
        : null;
      const inputs = normed || 'parts' in qkv ? split(qkv) : [qkv.packed, null, null];
      const [pastKey, pastValue] = pasts[layer]!;
      const { attended, presentKey, presentValue } = fusedAttention(g, config, {
        query: inputs[0]!,
        key: inputs[1] ?? null,
        value: inputs[2] ?? null,
        norms: normed,
        past: [pastKey!, pastValue!],
        presentNames: [`present.${layer}.key`, `present.${layer}.value`],
        layer,
        ...lengths,
        ...rotaryOf(layer),
      });
      g.output(presentKey, presentKey.name);
      g.output(presentValue, presentValue.name);
      return attended;
    },
    gated(gateUp) {
      const [gate, up] = split(gateUp);
      return g.node('Mul', [activated(gate!), up!], activation(config.intermediateSize));
    },
    linear: (x, layer, role) =>
      matmul(x, weights.linear(`layers.${layer}.${role}`, [weightName.linear(layer, role)]), null),
    selectRows: (x) => x,
    head: (normed) =>
      matmul(
        normed,
        config.tiedEmbedding ? table : weights.linear('head', [weightName.head]),
        null,
        'logits',
      ),
  };

  const activated = (x: Value): Value => {
    const output = activation(config.intermediateSize);
    const domain = microsoftDomain;
    if (config.activation === 'gelu') return g.node('FastGelu', [x], output, { domain });
    // x * sigmoid(alpha * x) with alpha = 1 is SiLU, in one kernel.
    return g.node('QuickGelu', [x], output, { domain, attributes: { alpha: { float: 1 } } });
  };

  /** The outputs of joint layers, one value each. */
  const split = (projected: Projected): readonly Value[] => {
    if ('parts' in projected) return projected.parts;
    const sizes = projected.roles.map((role) => linearShape(config, role)[0]);
    return op.split(g, projected.packed, -1, sizes);
  };

  const logits = decoder(config, ops);
  g.outputs.unshift({ name: 'logits', value: logits });
  return { graph: g, units: weights.units, dataSizeBytes: weights.sizeBytes };
}

/**
 * GroupQueryAttention's lengths from the mask: `lastPosition` i32 `[batch]` (valid tokens minus one) and `totalLength`
 * i32 `[1]`, with `total` the same as i64.
 */
function sequenceLengths(g: Graph, mask: Value): { lastPosition: Value; totalLength: Value; total: Value } {
  const count = g.node(
    'ReduceSum',
    [mask, g.i64([1])],
    { dtype: 'i64', shape: ['batch_size'] },
    { attributes: { keepdims: 0 } },
  );
  const last = g.node('Sub', [count, g.i64([1])], { dtype: 'i64', shape: ['batch_size'] });
  const total = g.node('Shape', [mask], { dtype: 'i64', shape: [1] }, { attributes: { start: 1, end: 2 } });
  return { lastPosition: op.cast(g, last, 'i32'), totalLength: op.cast(g, total, 'i32'), total };
}
