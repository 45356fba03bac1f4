import type { DType, Shape } from '@edgedesk/tensor';
import { dtypeSize, elementCount, f32ToF16 } from '@edgedesk/tensor';
import type { Linear, LinearFormat } from './linear.js';
import { formatOf, groupsPerRow } from './linear.js';
import { packRows } from './pack.js';

/** The arrays that a linear layer is stored as. */
export type PartName = 'weight' | 'levels' | 'scales' | 'zeroPoints';

/** One stored array: dtype and shape, `out` first, so that layers over one input can be stacked by rows. */
export interface StoredPart {
  readonly part: PartName;
  readonly dtype: DType;
  readonly shape: Shape;
}

/**
 * What a layer of this format and shape is stored as, in file order.
 *
 * dense: weight `[out, in]`. nbit, with `groups = ceil(in / groupSize)`: levels `[out, groups, groupSize * bits / 8]`
 * u8, scales `[out, groups]` f16 and, when asymmetric, zeroPoints `[out, ceil(groups * bits / 8)]` u8: MatMulNBits'
 * own layout.
 */
export function storedParts(format: LinearFormat, [rows, columns]: readonly [number, number]): StoredPart[] {
  if (format.kind === 'dense') return [{ part: 'weight', dtype: format.storage, shape: [rows, columns] }];
  const { bits, groupSize, asymmetric } = format;
  const groups = groupsPerRow(columns, groupSize);
  const parts: StoredPart[] = [
    { part: 'levels', dtype: 'u8', shape: [rows, groups, (groupSize * bits) / 8] },
    { part: 'scales', dtype: 'f16', shape: [rows, groups] },
  ];
  if (asymmetric) parts.push({ part: 'zeroPoints', dtype: 'u8', shape: [rows, Math.ceil((groups * bits) / 8)] });
  return parts;
}

/** Bytes of one stored part. */
export function partSize(part: StoredPart): number {
  return elementCount(part.shape) * dtypeSize[part.dtype];
}

/** Bytes on disk of a layer with this format and shape. */
export function storedSize(format: LinearFormat, shape: readonly [number, number]): number {
  return storedParts(format, shape).reduce((sum, part) => sum + partSize(part), 0);
}

/** Bytes that `linear` takes on disk. */
export function sizeBytes(linear: Linear): number {
  return storedSize(formatOf(linear), linear.shape);
}

/** Bits on disk for each weight, scales and zero points included. */
export function bitsPerWeight(linear: Linear): number {
  return (sizeBytes(linear) * 8) / elementCount(linear.shape);
}

/** The little-endian bytes of every part, in the order of `storedParts`. May share memory with `linear`. */
export function serialize(linear: Linear): readonly { part: PartName; bytes: Uint8Array }[] {
  if (linear.kind === 'dense') {
    const stored = linear.storage === 'f16' ? f32ToF16(linear.weight) : linear.weight;
    return [{ part: 'weight', bytes: bytesOf(stored) }];
  }
  const { shape, bits, groupSize, levels, scales, zeroPoints } = linear;
  const [rows, columns] = shape;
  const groups = groupsPerRow(columns, groupSize);
  const parts: { part: PartName; bytes: Uint8Array }[] = [
    { part: 'levels', bytes: packRows(levels, rows, columns, bits, groups * groupSize) },
    { part: 'scales', bytes: bytesOf(f32ToF16(scales)) },
  ];
  if (zeroPoints) parts.push({ part: 'zeroPoints', bytes: packRows(zeroPoints, rows, groups, bits) });
  return parts;
}

/** `data`'s memory as bytes; every platform that ONNX Runtime and Node support is little-endian. */
function bytesOf(data: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
