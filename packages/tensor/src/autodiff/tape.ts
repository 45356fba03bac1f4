import { ShapeError } from '../errors.js';
import { Graph } from '../graph/graph.js';
import { add, scatterAdd, mul } from '../graph/operators.js';
import type { Value } from '../graph/value.js';
import { sameShape } from '../graph/value.js';
import type { Primitive, PrimitiveAttributes, Rule } from './rule.js';
import { rules } from './rules/index.js';

/** What flows back to one value: dense parts, and rows of an embedding table that some tokens touched. */
interface Gradient {
  dense: Value | null;
  readonly sparse: SparseGradient[];
}

/** Rows to be added into the gradient of a table: ids `[n]`, rows `[n, d]`. */
export interface SparseGradient {
  readonly ids: Value;
  readonly rows: Value;
}

export const isSparse = (g: Value | SparseGradient): g is SparseGradient => 'ids' in g;

interface Entry {
  readonly primitive: Primitive;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: unknown;
  readonly saved: unknown;
  readonly scope: string;
}

/**
 * A graph that remembers how its values came about. Reverse mode is one table (primitive -> rule) and one reverse
 * walk; the backward pass is more nodes of the same graph.
 */
export class DifferentiableGraph extends Graph {
  private readonly tape: Entry[] = [];

  /** A trainable input. */
  parameter(name: string, shape: readonly number[]): Value {
    return this.input(name, 'f32', shape, true);
  }

  apply<P extends Primitive>(
    primitive: P,
    inputs: readonly Value[],
    attributes: PrimitiveAttributes[P],
  ): Value {
    const rule = rules[primitive] as Rule<PrimitiveAttributes[P]>;
    const differentiable = inputs.some((x) => x.differentiable);
    const { output, saved } = rule.forward(this, inputs, attributes);
    if (!differentiable) return output;
    const marked: Value = { ...output, differentiable };
    this.tape.push({ primitive, inputs, outputs: [marked], attributes, saved, scope: this.scope });
    return marked;
  }

  /** The constant upstream gradient of a scalar loss; rules may skip multiplying by it. */
  get one(): Value {
    return this.scalar(1);
  }

  /**
   * Gradients of the scalar `loss` with respect to `wrt`, in order. A value that the loss does not depend on is an
   * error: it names the value.
   */
  gradients(loss: Value, wrt: readonly Value[]): Value[] {
    if (loss.shape.length !== 0) {
      throw new ShapeError(`has shape [${loss.shape.join(', ')}]; gradients start from a scalar`, {
        where: loss.name,
      });
    }
    const gradients = new Map<string, Gradient>([[loss.name, { dense: this.one, sparse: [] }]]);
    const scope = this.scope;
    const wanted = new Set(wrt.map((value) => value.name));
    for (const entry of this.tape.slice().reverse()) {
      this.scope = `backward/${entry.scope}`;
      this.step(entry, gradients, wanted);
    }
    const result = wrt.map((value) => {
      const found = gradients.get(value.name);
      if (!found)
        throw new ShapeError('gets no gradient: the loss does not depend on it', { where: value.name });
      this.scope = `backward/`;
      return this.materialize(value, found);
    });
    this.scope = scope;
    return result;
  }

  private step(entry: Entry, gradients: Map<string, Gradient>, wanted: ReadonlySet<string>): void {
    const output = entry.outputs[0]!;
    const found = gradients.get(output.name);
    if (!found) return;
    // Nothing earlier on the tape can add to it any more, so its parts may be joined now.
    const upstream = this.materialize(output, found);
    if (wanted.has(output.name)) gradients.set(output.name, { dense: upstream, sparse: [] });
    else gradients.delete(output.name);
    const rule = rules[entry.primitive] as Rule<unknown>;
    const flows = rule.vjp(this, upstream, {
      inputs: entry.inputs,
      output,
      attributes: entry.attributes,
      saved: entry.saved,
    });
    entry.inputs.forEach((input, i) => {
      const flow = flows[i];
      if (!input.differentiable || flow === null || flow === undefined) return;
      const held = gradients.get(input.name) ?? { dense: null, sparse: [] };
      if (isSparse(flow)) held.sparse.push(flow);
      else {
        if (!sameShape(flow.shape, input.shape)) {
          throw new Error(
            `the ${entry.primitive} rule gave a gradient of [${flow.shape.join(', ')}] for ${input.name} of [${input.shape.join(', ')}]`,
          );
        }
        held.dense = held.dense ? add(this, held.dense, flow) : flow;
      }
      gradients.set(input.name, held);
    });
  }

  private materialize(value: Value, gradient: Gradient): Value {
    let dense = gradient.dense;
    if (gradient.sparse.length === 0) return dense!;
    dense ??= mul(this, { ...value, differentiable: false }, this.scalar(0));
    return gradient.sparse.reduce((table, part) => scatterAdd(this, table, part.ids, part.rows), dense);
  }
}
