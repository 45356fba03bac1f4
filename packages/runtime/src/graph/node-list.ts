import { create } from '@bufbuild/protobuf';
import { attributeProto, type AttributeValue, onnx } from '@edgedesk/tensor';

/** Attribute values a node takes here: those of the graph builder, and finished subgraphs. */
export type NodeAttribute = AttributeValue | onnx.GraphProto;

/** Small initializers of the outermost graph, shared by every subgraph; equal ones are stored once. */
export class Constants {
  private readonly byName = new Map<string, onnx.TensorProto>();

  get tensors(): onnx.TensorProto[] {
    return [...this.byName.values()];
  }

  i64(values: readonly number[]): string {
    return this.keep(
      `const.i64.${values.join('_')}`,
      onnx.TensorProto_DataType.INT64,
      [values.length],
      BigInt64Array.from(values, BigInt),
    );
  }

  i64Scalar(value: number): string {
    return this.keep(
      `const.i64.scalar.${value}`,
      onnx.TensorProto_DataType.INT64,
      [],
      BigInt64Array.of(BigInt(value)),
    );
  }

  f32Scalar(value: number): string {
    return this.keep(
      `const.f32.scalar.${value}`,
      onnx.TensorProto_DataType.FLOAT,
      [],
      Float32Array.of(value),
    );
  }

  bool(value: boolean, shape: readonly number[]): string {
    return this.keep(
      `const.bool.${value}.${shape.join('_')}`,
      onnx.TensorProto_DataType.BOOL,
      shape,
      Uint8Array.of(Number(value)),
    );
  }

  /** An f32 tensor without elements: at least one size is 0. */
  emptyF32(shape: readonly number[]): string {
    return this.keep(
      `const.f32.empty.${shape.join('_')}`,
      onnx.TensorProto_DataType.FLOAT,
      shape,
      new Float32Array(0),
    );
  }

  private keep(
    name: string,
    dataType: number,
    shape: readonly number[],
    data: Float32Array | BigInt64Array | Uint8Array,
  ): string {
    if (!this.byName.has(name)) {
      const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      this.byName.set(
        name,
        create(onnx.TensorProtoSchema, { name, dataType, dims: shape.map((d) => BigInt(d)), rawData }),
      );
    }
    return name;
  }
}

export interface NodeExtras {
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, NodeAttribute>>;
  /** Names of the outputs. @default one fresh name */
  readonly outputs?: readonly string[];
}

/**
 * Nodes of one (sub)graph in execution order. Values are their names. ONNX forbids a subgraph to reuse a name of the
 * graphs around it, so every list has its own prefix.
 */
export class NodeList {
  readonly nodes: onnx.NodeProto[] = [];
  private counter = 0;

  constructor(
    readonly prefix: string,
    readonly constants: Constants,
  ) {}

  fresh(stem: string): string {
    return `${this.prefix}.${stem}.${this.counter++}`;
  }

  /** Adds a node and returns its first output. */
  add(opType: string, inputs: readonly string[], extras: NodeExtras = {}): string {
    const output = extras.outputs ?? [this.fresh(opType)];
    this.nodes.push(
      create(onnx.NodeProtoSchema, {
        name: output[0]!,
        opType,
        domain: extras.domain ?? '',
        input: [...inputs],
        output: [...output],
        attribute: Object.entries(extras.attributes ?? {}).map(([name, value]) => attribute(name, value)),
      }),
    );
    return output[0]!;
  }

  /** Adds a node with `count` outputs and returns their names. */
  addMany(opType: string, inputs: readonly string[], count: number, extras: NodeExtras = {}): string[] {
    const outputs = Array.from({ length: count }, () => this.fresh(opType));
    this.add(opType, inputs, { ...extras, outputs });
    return outputs;
  }

  /** `If` on a scalar bool; both branches return the same number of values. */
  choose(
    condition: string,
    onTrue: (branch: NodeList) => readonly string[],
    onFalse: (branch: NodeList) => readonly string[],
  ): string[] {
    const branch = (stem: string, write: (branch: NodeList) => readonly string[]) => {
      const list = new NodeList(this.fresh(stem), this.constants);
      // A branch may return an outer value as it is; a subgraph's output must come from a node of its own.
      const results = write(list).map((value) => list.add('Identity', [value]));
      return { count: results.length, graph: list.graph([], results.map(untyped)) };
    };
    const yes = branch('then', onTrue);
    const no = branch('else', onFalse);
    return this.addMany('If', [condition], yes.count, {
      attributes: { then_branch: yes.graph, else_branch: no.graph },
    });
  }

  graph(
    inputs: readonly onnx.ValueInfoProto[],
    outputs: readonly onnx.ValueInfoProto[],
    initializer: readonly onnx.TensorProto[] = [],
  ): onnx.GraphProto {
    return create(onnx.GraphProtoSchema, {
      name: this.prefix,
      node: this.nodes,
      input: [...inputs],
      output: [...outputs],
      initializer: [...initializer],
    });
  }
}

/** A graph input or output; a dimension is a size, the name of one, or '' when nothing is known of it. */
export function typed(
  name: string,
  elemType: number,
  shape: readonly (number | string)[],
): onnx.ValueInfoProto {
  const dim = shape.map((d) => ({
    value:
      typeof d === 'number'
        ? { case: 'dimValue' as const, value: BigInt(d) }
        : d === ''
          ? { case: undefined }
          : { case: 'dimParam' as const, value: d },
  }));
  return create(onnx.ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'tensorType', value: { elemType, shape: { dim } } } },
  });
}

/** A subgraph output whose type ONNX Runtime infers. */
export function untyped(name: string): onnx.ValueInfoProto {
  return create(onnx.ValueInfoProtoSchema, { name });
}

function attribute(name: string, value: NodeAttribute): onnx.AttributeProto {
  if (typeof value === 'object' && '$typeName' in value) {
    return create(onnx.AttributeProtoSchema, {
      name,
      type: onnx.AttributeProto_AttributeType.GRAPH,
      g: value,
    });
  }
  return attributeProto(name, value);
}
