import type { DecoderConfig } from '@edgedesk/models';
import { CheckpointError, onnx } from '@edgedesk/tensor';
import { checkGraph } from './check-graph.js';
import { decodeModel } from './decode-model.js';

/** Graph names that every exported decoder has (transformers.js, onnxruntime-genai and EdgeDesk agree on them). */
export const plainName = {
  ids: 'input_ids',
  mask: 'attention_mask',
  positions: 'position_ids',
  logits: 'logits',
  past: (layer: number, kind: 'key' | 'value') => `past_key_values.${layer}.${kind}`,
  present: (layer: number, kind: 'key' | 'value') => `present.${layer}.${kind}`,
};

/** A plain decoder's graph with the places where the loop is tied to it. */
export interface PlainDecoder {
  readonly model: onnx.ModelProto;
  readonly graph: onnx.GraphProto;
  /** GroupQueryAttention nodes, by layer. */
  readonly attention: readonly onnx.NodeProto[];
}

const fix = 'export the model again with `edgedesk compress`';

/** Parses a plain decoder and checks it against `config`. CheckpointError names the first thing that does not fit. */
export function readPlainDecoder(bytes: Uint8Array, config: DecoderConfig, where: string): PlainDecoder {
  const fail = (message: string, cause?: unknown): never => {
    throw new CheckpointError(message, { where, fix, cause });
  };
  let model: onnx.ModelProto;
  try {
    model = decodeModel(bytes);
  } catch (cause) {
    return fail(`the file is not an ONNX model of a decoder (${String(cause).slice(0, 120)})`, cause);
  }
  const graph = model.graph ?? fail('the model holds no graph');
  const initializers = new Set(graph.initializer.map((t) => t.name));
  const inputs = graph.input.filter((v) => !initializers.has(v.name));
  const known = new Set<string>([plainName.ids, plainName.mask, plainName.positions]);
  const expectedOutputs = new Set<string>([plainName.logits]);
  const kvDims = { 1: config.kvHeadCount, 3: config.headDim };
  const need = (values: readonly onnx.ValueInfoProto[], kind: string, name: string) =>
    values.find((v) => v.name === name) ?? fail(`the graph has no ${kind} "${name}"`);
  need(inputs, 'input', plainName.ids);
  for (let layer = 0; layer < config.layerCount; layer++) {
    for (const kind of ['key', 'value'] as const) {
      const past = need(inputs, 'input', plainName.past(layer, kind));
      const present = need(graph.output, 'output', plainName.present(layer, kind));
      for (const value of [past, present]) checkCache(value, kvDims, fail);
      known.add(past.name);
      expectedOutputs.add(present.name);
    }
  }
  checkLogits(need(graph.output, 'output', plainName.logits), config, fail);
  const stranger =
    inputs.find((v) => !known.has(v.name)) ?? graph.output.find((v) => !expectedOutputs.has(v.name));
  if (stranger)
    fail(`"${stranger.name}" is no input or output of a decoder with ${config.layerCount} layers`);

  const cached = graph.node.filter((n) => n.opType === 'GroupQueryAttention');
  if (cached.length !== config.layerCount) {
    fail(
      `the graph has ${cached.length} GroupQueryAttention nodes but config.json asks for ${config.layerCount}`,
    );
  }
  const attention = Array.from({ length: config.layerCount }, (_, layer) => {
    return (
      cached.find(
        (n) => n.input[3] === plainName.past(layer, 'key') && n.input[4] === plainName.past(layer, 'value'),
      ) ?? fail(`no GroupQueryAttention node reads "${plainName.past(layer, 'key')}"`)
    );
  });
  for (const tensor of graph.initializer) checkExternal(tensor, fail);
  checkGraph(graph, fail);
  return { model, graph, attention };
}

type Fail = (message: string) => never;

/** Sizes along each axis; null where symbolic. */
function dims(value: onnx.ValueInfoProto): (number | null)[] | null {
  const type = value.type?.value;
  if (type?.case !== 'tensorType' || !type.value.shape) return null;
  return type.value.shape.dim.map((d) => (d.value.case === 'dimValue' ? Number(d.value.value) : null));
}

function checkCache(value: onnx.ValueInfoProto, sizes: Readonly<Record<number, number>>, fail: Fail): void {
  const type = value.type?.value;
  if (type?.case === 'tensorType' && type.value.elemType !== onnx.TensorProto_DataType.FLOAT) {
    fail(`"${value.name}" is not f32`);
  }
  const shape = dims(value);
  if (!shape) return;
  if (shape.length !== 4) fail(`"${value.name}" has ${shape.length} axes, not 4`);
  for (const [axis, size] of Object.entries(sizes)) {
    const found = shape[Number(axis)];
    if (typeof found === 'number' && found !== size) {
      fail(`"${value.name}" has size ${found} along axis ${axis} but config.json asks for ${size}`);
    }
  }
}

function checkLogits(value: onnx.ValueInfoProto, config: DecoderConfig, fail: Fail): void {
  const vocab = dims(value)?.at(-1);
  if (typeof vocab === 'number' && vocab !== config.vocabSize) {
    fail(`"${value.name}" has ${vocab} columns but config.json has a vocabulary of ${config.vocabSize}`);
  }
}

/** External data must be a file beside the model: a path could reach anything on the machine. */
function checkExternal(tensor: onnx.TensorProto, fail: Fail): void {
  const place = externalPlace(tensor);
  if (place === null) return;
  if (!/^[\w.-]+$/.test(place.file) || place.file.startsWith('.')) {
    fail(`the data of "${tensor.name}" lie at "${place.file}", which is no file beside the model`);
  }
  if (!Number.isSafeInteger(place.end) || place.end < 0)
    fail(`the place of the data of "${tensor.name}" is no number`);
}

/** Where the data of an initializer end that lie outside the model. */
interface ExternalPlace {
  readonly file: string;
  /** Bytes from the beginning of the file. */
  readonly end: number;
}

function externalPlace(tensor: onnx.TensorProto): ExternalPlace | null {
  if (tensor.dataLocation !== onnx.TensorProto_DataLocation.EXTERNAL) return null;
  const entry = (key: string) => tensor.externalData.find((e) => e.key === key)?.value;
  return { file: entry('location') ?? '', end: Number(entry('offset') ?? 0) + Number(entry('length') ?? 0) };
}

/** Bytes that each data file beside the model must have at least, by its name. */
export function externalSizes({ graph }: PlainDecoder): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>();
  for (const tensor of graph.initializer) {
    const place = externalPlace(tensor);
    if (place !== null) sizes.set(place.file, Math.max(place.end, sizes.get(place.file) ?? 0));
  }
  return sizes;
}
