import type { Linear } from './linear.js';
import { formatOf, sameFormat } from './linear.js';

/** Layers of one format and one input as one, their rows one behind the other. */
export function joinRows(linears: readonly Linear[]): Linear {
  const [first] = linears as readonly [Linear, ...Linear[]];
  if (linears.length === 1) return first;
  if (linears.some((linear) => !sameFormat(formatOf(linear), formatOf(first)))) {
    throw new Error('layers of several formats cannot be joined');
  }
  const rows = linears.reduce((sum, { shape }) => sum + shape[0], 0);
  const shape = [rows, first.shape[1]] as const;
  if (first.kind === 'dense') {
    const parts = linears.map((linear) => (linear as typeof first).weight);
    return { ...first, shape, weight: joined(parts, new Float32Array(rows * shape[1])) };
  }
  const parts = linears as readonly (typeof first)[];
  const scales = joined(
    parts.map((part) => part.scales),
    new Float32Array((first.scales.length / first.shape[0]) * rows),
  );
  const levels = joined(
    parts.map((part) => part.levels),
    new Uint8Array(rows * shape[1]),
  );
  const zeroPoints = first.zeroPoints && {
    zeroPoints: joined(
      parts.map((part) => part.zeroPoints!),
      new Uint8Array(scales.length),
    ),
  };
  return { ...first, shape, levels, scales, ...zeroPoints };
}

function joined<T extends Float32Array | Uint8Array>(parts: readonly T[], into: T): T {
  let at = 0;
  for (const part of parts) {
    into.set(part, at);
    at += part.length;
  }
  return into;
}
