import type { DType } from '../dtype.js';
import { elementCount } from '../dtype.js';
import { ShapeError } from '../errors.js';
import type { Dim, Value } from './value.js';

export type AttributeValue = number | { float: number } | string | readonly number[] | Graph;

/** An ONNX node before encoding. A missing optional input or output is null. */
export interface GraphNode {
  readonly opType: string;
  readonly domain: string;
  readonly inputs: readonly (Value | null)[];
  readonly outputs: readonly (Value | null)[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}

/** Where an initializer's bytes are: here, or in a file beside the model. */
export type InitializerData =
  | { readonly bytes: Uint8Array }
  | { readonly location: string; readonly offset: number; readonly length: number };

export interface Initializer {
  readonly value: Value;
  readonly data: InitializerData;
}

export interface OutputSpec {
  readonly dtype: DType;
  readonly shape: readonly Dim[];
  /** @default a fresh name */
  readonly name?: string;
}

export interface NodeOptions {
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  /** null leaves an optional output out. */
  readonly outputs: readonly (OutputSpec | null)[];
}

export const microsoftDomain = 'com.microsoft';

/**
 * Builds one ONNX graph: inputs, initializers, nodes, outputs. Values are immutable and belong to the graph. Raw
 * nodes carry no gradient; differentiable operators go through `autodiff/`.
 */
export class Graph {
  readonly nodes: GraphNode[] = [];
  readonly inputs: Value[] = [];
  readonly initializers: Initializer[] = [];
  readonly outputs: { readonly name: string; readonly value: Value }[] = [];
  /** Prefix of fresh names, so that profiles show which layer a node belongs to. */
  scope = '';

  private counter = 0;
  private readonly constants = new Map<string, Value>();
  private readonly names = new Set<string>();

  private fresh(stem: string): string {
    return `${this.scope}${stem}_${this.counter++}`;
  }

  private claim(name: string): string {
    if (this.names.has(name))
      throw new ShapeError(`the graph already has a value of this name`, { where: name });
    this.names.add(name);
    return name;
  }

  input(name: string, dtype: DType, shape: readonly Dim[], differentiable = false): Value {
    const value: Value = { name: this.claim(name), dtype, shape, differentiable };
    this.inputs.push(value);
    return value;
  }

  initializer(name: string, dtype: DType, shape: readonly number[], data: InitializerData): Value {
    const value: Value = { name: this.claim(name), dtype, shape, differentiable: false };
    this.initializers.push({ value, data });
    return value;
  }

  f32(data: Float32Array | readonly number[], shape: readonly number[]): Value {
    const array = Float32Array.from(data);
    if (array.length !== elementCount(shape)) {
      throw new ShapeError(`${array.length} numbers do not fill [${shape.join(', ')}]`, {
        where: 'constant',
      });
    }
    return this.initializer(this.fresh('f32'), 'f32', shape, { bytes: new Uint8Array(array.buffer) });
  }

  /** Equal small constants are stored once. */
  scalar(x: number): Value {
    return this.shared(`f${x}`, () => this.f32([x], []));
  }

  i64(values: readonly number[]): Value {
    return this.shared(`i${values.join(',')}`, () => this.i64Of(values, [values.length]));
  }

  i64Scalar(x: number): Value {
    return this.shared(`s${x}`, () => this.i64Of([x], []));
  }

  i32(values: readonly number[], shape: readonly number[]): Value {
    return this.initializer(this.fresh('i32'), 'i32', shape, {
      bytes: new Uint8Array(Int32Array.from(values).buffer),
    });
  }

  private i64Of(values: readonly number[], shape: readonly number[]): Value {
    return this.initializer(this.fresh('i64'), 'i64', shape, {
      bytes: new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
    });
  }

  private shared(key: string, make: () => Value): Value {
    const known = this.constants.get(key);
    if (known) return known;
    const value = make();
    this.constants.set(key, value);
    return value;
  }

  /** Adds a raw node and returns its outputs; a left-out optional output is returned as null. */
  nodeN(opType: string, inputs: readonly (Value | null)[], options: NodeOptions): (Value | null)[] {
    const outputs = options.outputs.map((spec): Value | null =>
      spec === null
        ? null
        : {
            name: this.claim(spec.name ?? this.fresh(opType)),
            dtype: spec.dtype,
            shape: spec.shape,
            differentiable: false,
          },
    );
    this.nodes.push({
      opType,
      domain: options.domain ?? '',
      inputs,
      outputs,
      attributes: options.attributes ?? {},
    });
    return outputs;
  }

  /** Adds a raw node with one output. */
  node(
    opType: string,
    inputs: readonly (Value | null)[],
    output: OutputSpec,
    options: Omit<NodeOptions, 'outputs'> = {},
  ): Value {
    return this.nodeN(opType, inputs, { ...options, outputs: [output] })[0]!;
  }

  /** Exposes a value as a graph output under `name`. */
  output(value: Value, name: string): void {
    if (this.outputs.some((o) => o.name === name)) {
      throw new ShapeError('the graph already has an output of this name', { where: name });
    }
    this.outputs.push({ name, value });
  }
}
