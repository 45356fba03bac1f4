import { create, toBinary } from '@bufbuild/protobuf';
import type { DType } from '../dtype.js';
import type { AttributeValue, Initializer } from '../graph/graph.js';
import { Graph, microsoftDomain } from '../graph/graph.js';
import { onnxType } from '../graph/operators.js';
import type { Dim } from '../graph/value.js';
import type {
  AttributeProto,
  GraphProto,
  NodeProto,
  TensorProto,
  ValueInfoProto,
} from './generated/onnx_pb.js';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProto_DataLocation as DataLocation,
  TensorProtoSchema,
  ValueInfoProtoSchema,
} from './generated/onnx_pb.js';

export interface EncodeOptions {
  /** @default 21 */
  readonly opset?: number;
  /**
   * Order of the node list. ONNX Runtime runs nodes in reverse depth-first order from the leaves, highest index first:
   * listing a training graph reversed runs each weight gradient right after its layer and frees its activations.
   * @default 'created'
   */
  readonly order?: 'created' | 'reversed';
  /**
   * Adds a first output of sequence type, by which `Session.runInto` on Node recognises that outputs can be left
   * where ONNX Runtime wrote them.
   * @default false
   */
  readonly inPlaceOutputs?: boolean;
  readonly graphName?: string;
}

/** Name of the output that `inPlaceOutputs` adds. */
export const inPlaceMarker = 'edgedesk.in_place';

/** The graph as a serialized ONNX model; nodes that no output needs are left out. */
export function encodeModel(graph: Graph, options: EncodeOptions = {}): Uint8Array<ArrayBuffer> {
  const { opset = 21, graphName = 'edgedesk' } = options;
  const proto = graphProto(graph, graphName, options.order ?? 'created');
  if (options.inPlaceOutputs) markInPlace(proto);
  const model = create(ModelProtoSchema, {
    irVersion: 10n,
    producerName: 'edgedesk',
    opsetImport: [
      { domain: '', version: BigInt(opset) },
      { domain: microsoftDomain, version: 1n },
    ],
    graph: proto,
  });
  return toBinary(ModelProtoSchema, model);
}

function graphProto(graph: Graph, name: string, order: 'created' | 'reversed'): GraphProto {
  const needed = new Set(graph.outputs.map((o) => o.value.name));
  const kept = graph.nodes
    .slice()
    .reverse()
    .filter((node) => {
      if (!node.outputs.some((o) => o && needed.has(o.name))) return false;
      for (const input of node.inputs) if (input) needed.add(input.name);
      return true;
    });
  if (order === 'created') kept.reverse();
  const nodes = kept.map((node): NodeProto => {
    return create(NodeProtoSchema, {
      name: node.outputs.find((o) => o)?.name ?? '',
      opType: node.opType,
      domain: node.domain,
      input: node.inputs.map((x) => x?.name ?? ''),
      output: node.outputs.map((x) => x?.name ?? ''),
      attribute: Object.entries(node.attributes).map(([key, value]) => attributeProto(key, value)),
    });
  });
  for (const { name: alias, value } of graph.outputs) {
    if (alias === value.name) continue;
    nodes.push(
      create(NodeProtoSchema, { name: alias, opType: 'Identity', input: [value.name], output: [alias] }),
    );
  }
  return create(GraphProtoSchema, {
    name,
    node: nodes,
    input: graph.inputs.filter((v) => needed.has(v.name)).map((v) => valueInfo(v.name, v.dtype, v.shape)),
    output: graph.outputs.map((o) => valueInfo(o.name, o.value.dtype, o.value.shape)),
    initializer: graph.initializers.filter((i) => needed.has(i.value.name)).map(tensorProto),
  });
}

export function valueInfo(name: string, dtype: DType, shape: readonly Dim[]): ValueInfoProto {
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      value: {
        case: 'tensorType',
        value: {
          elemType: onnxType[dtype],
          shape: {
            dim: shape.map((d) => ({
              value:
                typeof d === 'number'
                  ? { case: 'dimValue' as const, value: BigInt(d) }
                  : { case: 'dimParam' as const, value: d },
            })),
          },
        },
      },
    },
  });
}

function tensorProto({ value, data }: Initializer): TensorProto {
  const head = {
    name: value.name,
    dataType: onnxType[value.dtype],
    dims: value.shape.map((d) => BigInt(d)),
  };
  if ('bytes' in data) return create(TensorProtoSchema, { ...head, rawData: data.bytes });
  return create(TensorProtoSchema, {
    ...head,
    dataLocation: DataLocation.EXTERNAL,
    externalData: [
      { key: 'location', value: data.location },
      { key: 'offset', value: String(data.offset) },
      { key: 'length', value: String(data.length) },
    ],
  });
}

export function attributeProto(name: string, value: AttributeValue): AttributeProto {
  if (value instanceof Graph) {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.GRAPH,
      g: graphProto(value, name, 'created'),
    });
  }
  if (typeof value === 'number')
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  if (typeof value === 'string') {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.STRING,
      s: new TextEncoder().encode(value),
    });
  }
  if ('float' in value)
    return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map((x) => BigInt(x)) });
}

/** Adds the `inPlaceOutputs` marker to a graph that was not built here. */
export function markInPlace(graph: GraphProto): void {
  graph.node.push(
    create(NodeProtoSchema, {
      name: inPlaceMarker,
      opType: 'SequenceEmpty',
      output: [inPlaceMarker],
      attribute: [attributeProto('dtype', onnxType.f32)],
    }),
  );
  graph.output.unshift(
    create(ValueInfoProtoSchema, {
      name: inPlaceMarker,
      type: {
        value: {
          case: 'sequenceType',
          value: { elemType: { value: { case: 'tensorType', value: { elemType: onnxType.f32 } } } },
        },
      },
    }),
  );
}
