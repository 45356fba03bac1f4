import { CheckpointError, elementCount, type Shape } from '@edgedesk/tensor';
import { type DecoderConfig, weightName, weightShapes } from '../config.js';
import { isGridTensor } from '../linear/trained-grid.js';
import type { TensorInfo, WeightSource } from '../weights.js';
import { missingTensor } from './safetensors.js';

/** A tensor as a family's checkpoints have it: one of ours, or several stacked by rows. */
export interface StoredWeight {
  readonly name: string;
  /** Our names, in stacking order. */
  readonly parts: readonly string[];
  /** What is stored is our value less this. */
  readonly offset: number;
}

/** Every tensor of a Hugging Face checkpoint of the model, in order. */
export function storedWeights(config: DecoderConfig): StoredWeight[] {
  const names = [...weightShapes(config).keys()];
  if (config.modelType === 'gemma3_text') {
    // Gemma's norms multiply by 1 + w.
    return names.map((name) => ({ name, parts: [name], offset: name.endsWith('norm.weight') ? 1 : 0 }));
  }
  const stacks = config.modelType === 'phi3' ? phiStacks(config) : new Map<string, StoredWeight>();
  return names.flatMap((name) => {
    const stack = stacks.get(name);
    if (stack === undefined) return [{ name, parts: [name], offset: 0 }];
    return stack.parts[0] === name ? [stack] : [];
  });
}

/** Phi-3's joint layers, by the names of their parts. */
function phiStacks(config: DecoderConfig): Map<string, StoredWeight> {
  const stacks = new Map<string, StoredWeight>();
  for (let layer = 0; layer < config.layerCount; layer++) {
    for (const [joint, roles] of [
      ['self_attn.qkv_proj', ['q', 'k', 'v']],
      ['mlp.gate_up_proj', ['gate', 'up']],
    ] as const) {
      const parts = roles.map((role) => weightName.linear(layer, role));
      const stack = { name: `model.layers.${layer}.${joint}.weight`, parts, offset: 0 };
      for (const part of parts) stacks.set(part, stack);
    }
  }
  return stacks;
}

/** Shape of a stored tensor: its parts' rows one behind the other. */
export function storedShape({ parts }: StoredWeight, shapes: ReadonlyMap<string, Shape>): readonly number[] {
  const [first, ...columns] = shapes.get(parts[0]!) as readonly number[];
  return [parts.slice(1).reduce((rows, part) => rows + (shapes.get(part)![0] as number), first!), ...columns];
}

/** What is to be stored, from our values. */
export async function readStored(
  { parts, offset }: StoredWeight,
  read: (part: string) => Promise<Float32Array>,
): Promise<Float32Array> {
  const values: Float32Array[] = [];
  for (const part of parts) values.push(await read(part));
  if (values.length === 1 && offset === 0) return values[0]!;
  const joined = new Float32Array(values.reduce((length, value) => length + value.length, 0));
  let at = 0;
  for (const value of values) {
    joined.set(value, at);
    at += value.length;
  }
  return offset === 0 ? joined : joined.map((x) => x - offset);
}

/** Where a model that also sees keeps its decoder, in older and in newer files. */
const prefixes: readonly ((name: string) => string)[] = [
  (name) => name,
  (name) => `language_model.${name}`,
  (name) => name.replace(/^model\./, 'model.language_model.'),
];

/**
 * A checkpoint's weights by our names: joint layers apart, norms as factors, without a prefix. Takes `source` over.
 * CheckpointError when a joint layer is missing or of another shape.
 */
export function weightsByOurNames(config: DecoderConfig, source: WeightSource, where: string): WeightSource {
  const stored = storedWeights(config);
  const place = prefixes.find((prefix) => source.tensors.has(prefix(weightName.embedding))) ?? prefixes[0]!;
  const isPlain = stored.every(({ parts, offset, name }) => parts.length === 1 && offset === 0 && place(name) === name);
  if (isPlain) return source;
  const shapes = weightShapes(config) as ReadonlyMap<string, Shape>;
  const tensors = new Map<string, TensorInfo>();
  const partOf = new Map<string, { readonly weight: StoredWeight; readonly start: number; readonly isLast: boolean }>();
  for (const weight of stored) {
    const tensor = source.tensors.get(place(weight.name));
    if (tensor === undefined) {
      if (weight.parts.length === 1) continue;
      throw missingTensor(weight.name, where);
    }
    const whole = storedShape(weight, shapes);
    if (weight.parts.length > 1 && (tensor.shape.length !== 2 || whole.some((size, i) => size !== tensor.shape[i]))) {
      throw new CheckpointError(
        `the tensor \`${weight.name}\` has shape [${tensor.shape.join(', ')}] but config.json asks for [${whole.join(', ')}]`,
        { where, fix: 'use weights and config.json of one revision' },
      );
    }
    let start = 0;
    weight.parts.forEach((name, i) => {
      const shape = weight.parts.length === 1 ? tensor.shape : shapes.get(name)!;
      const share = elementCount(shape) / elementCount(tensor.shape);
      tensors.set(name, {
        ...tensor,
        name,
        shape,
        ...(tensor.sizeBytes === undefined ? {} : { sizeBytes: tensor.sizeBytes * share }),
      });
      partOf.set(name, { weight, start, isLast: i === weight.parts.length - 1 });
      start += elementCount(shape);
    });
  }
  // Grids of trained weights go by our names in every family.
  for (const [name, tensor] of source.tensors) if (isGridTensor(name)) tensors.set(name, tensor);
  // Parts of a joint layer are asked for one behind the other: it is read once.
  let last: { readonly name: string; readonly values: Promise<Float32Array<ArrayBuffer>> } | undefined;
  const readF32 = async (name: string): Promise<Float32Array<ArrayBuffer>> => {
    const part = partOf.get(name);
    if (part === undefined && isGridTensor(name)) return source.readF32(name);
    if (part === undefined) throw missingTensor(name, where);
    const { weight, start, isLast } = part;
    const from = place(weight.name);
    if (weight.parts.length === 1) {
      const values = await source.readF32(from);
      return weight.offset === 0 ? values : values.map((x) => x + weight.offset);
    }
    if (last?.name !== from) last = { name: from, values: source.readF32(from) };
    const { values } = last;
    if (isLast) last = undefined;
    return (await values).slice(start, start + elementCount(shapes.get(name)!));
  };
  return { tensors, readF32, close: () => source.close() };
}
