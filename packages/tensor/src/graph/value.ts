import type { DType } from '../dtype.js';
import { ShapeError } from '../errors.js';

/** A size, or the name of a size known only at run time. */
export type Dim = number | string;

/** An edge of the graph. Belongs to the graph that made it. */
export interface Value {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
  /** Something differentiable flows into it, so a reverse pass may ask for its gradient. */
  readonly differentiable: boolean;
}

/** The shape as numbers; ShapeError when a dimension is symbolic. */
export function staticShape(value: Value): readonly number[] {
  return value.shape.map((d) => {
    if (typeof d === 'number') return d;
    throw new ShapeError(`needs fixed sizes but has the symbolic dimension "${d}"`, { where: value.name });
  });
}

/** Size of one axis; negative axes count from the end. */
export function sizeAt(value: Value, axis: number): number {
  const d = value.shape.at(axis);
  if (typeof d === 'number') return d;
  throw new ShapeError(`axis ${axis} of [${value.shape.join(', ')}] has no fixed size`, {
    where: value.name,
  });
}

export const sameShape = (a: readonly Dim[], b: readonly Dim[]): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);

/** Result shape of numpy broadcasting; ShapeError when the operands do not fit. */
export function broadcastShapes(a: Value, b: Value): readonly Dim[] {
  const rank = Math.max(a.shape.length, b.shape.length);
  return Array.from({ length: rank }, (_, i) => {
    const da = a.shape.at(i - rank) ?? 1;
    const db = b.shape.at(i - rank) ?? 1;
    if (da === db || db === 1) return da;
    if (da === 1) return db;
    throw new ShapeError(`[${a.shape.join(', ')}] and [${b.shape.join(', ')}] do not broadcast`, {
      where: `${a.name}, ${b.name}`,
    });
  });
}
