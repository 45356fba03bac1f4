import type { DType, Graph, Shape, Value } from '@edgedesk/tensor';
import { dtypeSize, elementCount, op } from '@edgedesk/tensor';
import type { DecoderConfig } from '../config.js';
import { weightShapes } from '../config.js';
import type { LinearFormat } from '../linear/linear.js';
import { sameFormat } from '../linear/linear.js';
import type { PartName } from '../linear/stored.js';
import { partSize, storedParts } from '../linear/stored.js';

/** One array in the data file. */
export interface PlacedPart {
  /** `vector`: norms and biases, f32. */
  readonly part: PartName | 'vector';
  readonly dtype: DType;
  readonly shape: Shape;
  readonly offset: number;
  readonly sizeBytes: number;
}

/**
 * Weights that the data file keeps together: one weight, or several stacked by their first axis (packed q, k, v). A
 * writer reads them one after another and puts each one's share of every part behind its predecessor's.
 */
export interface PlacedUnit {
  /** Checkpoint names, in stacking order. */
  readonly weights: readonly string[];
  /** null for vectors. */
  readonly format: LinearFormat | null;
  readonly parts: readonly PlacedPart[];
}

/** A linear weight inside the graph. */
export interface WeightValues {
  readonly format: LinearFormat;
  /** Stacked `[out, in]`. */
  readonly shape: readonly [number, number];
  readonly name: string;
  /** The stored parts as initializers, scales widened to f32. */
  readonly parts: ReadonlyMap<PartName, Value>;
  readonly unit: PlacedUnit;
}

/** Every array starts on such a boundary, so that kernels may read a memory-mapped file with aligned loads. */
const alignment = 64;

/** Decides where each weight lies in the data file while a graph is built, and declares it there as initializer. */
export class WeightPlacement {
  readonly units: PlacedUnit[] = [];
  private end = 0;
  private readonly shapes: ReadonlyMap<string, Shape>;

  /** `location` is the data file's name beside the model. */
  constructor(
    private readonly graph: Graph,
    config: DecoderConfig,
    private readonly location: string,
    readonly formatOf: (weight: string) => LinearFormat,
  ) {
    this.shapes = weightShapes(config);
  }

  get sizeBytes(): number {
    return this.end;
  }

  /** True when these weights can be one stacked weight. */
  stackable(weights: readonly string[]): boolean {
    const first = this.formatOf(weights[0]!);
    return weights.every((weight) => sameFormat(first, this.formatOf(weight)));
  }

  /** Norm or bias vectors end to end, f32. */
  vector(name: string, weights: readonly string[]): Value {
    const length = weights.reduce((sum, weight) => sum + elementCount(this.shape(weight)), 0);
    const part = this.place('vector', 'f32', [length]);
    this.units.push({ weights, format: null, parts: [part] });
    return this.declare(name, part);
  }

  /** Linear weights of one format and one input, stacked by rows. */
  linear(name: string, weights: readonly string[]): WeightValues {
    const format = this.formatOf(weights[0]!);
    const columns = this.shape(weights[0]!)[1]!;
    const rows = weights.reduce((sum, weight) => sum + this.shape(weight)[0]!, 0);
    const shape = [rows, columns] as const;
    const placed = storedParts(format, shape).map((part) => this.place(part.part, part.dtype, part.shape));
    const unit: PlacedUnit = { weights, format, parts: placed };
    this.units.push(unit);
    const parts = new Map<PartName, Value>();
    for (const part of placed) {
      const value = this.declare(`${name}.${part.part}`, part);
      // ONNX Runtime folds this Cast when it loads the model: half the bytes on disk, the same kernel.
      parts.set(part.part as PartName, part.part === 'scales' ? op.cast(this.graph, value, 'f32') : value);
    }
    return { format, shape, name, parts, unit };
  }

  /** A second initializer over bytes that are already placed, with another shape: a tied head stored once. */
  alias(name: string, weight: WeightValues, part: PartName, shape: Shape): Value {
    const placed = weight.unit.parts.find((p) => p.part === part);
    if (!placed || elementCount(shape) !== elementCount(placed.shape)) {
      throw new Error(`${name} does not cover the ${part} of ${weight.name}`);
    }
    return this.declare(name, { ...placed, shape });
  }

  private shape(weight: string): Shape {
    const shape = this.shapes.get(weight);
    if (!shape) throw new Error(`the decoder has no weight ${weight}`);
    return shape;
  }

  private place(part: PartName | 'vector', dtype: DType, shape: Shape): PlacedPart {
    const offset = Math.ceil(this.end / alignment) * alignment;
    const sizeBytes = part === 'vector' ? elementCount(shape) * dtypeSize[dtype] : partSize({ part, dtype, shape });
    this.end = offset + sizeBytes;
    return { part, dtype, shape, offset, sizeBytes };
  }

  private declare(name: string, { dtype, shape, offset, sizeBytes }: PlacedPart): Value {
    return this.graph.initializer(name, dtype, shape, { location: this.location, offset, length: sizeBytes });
  }
}
