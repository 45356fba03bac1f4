import type { Linear } from '../linear/linear.js';
import { formatOf, sameFormat } from '../linear/linear.js';
import { serialize } from '../linear/stored.js';
import type { PlacedUnit } from './fuse-weights.js';

/** Where a writer gets weights from, by checkpoint name. */
export interface WeightReader {
  /** The weight as a linear layer in the format that its unit was placed with. */
  linear(weight: string): Promise<Linear>;
  /** A norm or bias. */
  vector(weight: string): Promise<Float32Array>;
}

/**
 * Writes the data file of a fused decoder, one weight in memory at a time. `write` puts bytes at an offset; offsets do
 * not always grow, since the levels and the scales of stacked weights lie in two places.
 */
export async function writeWeights(
  units: readonly PlacedUnit[],
  reader: WeightReader,
  write: (offset: number, bytes: Uint8Array) => Promise<void>,
  onWeight?: (weight: string) => void,
): Promise<void> {
  for (const unit of units) {
    const ends = unit.parts.map((part) => part.offset);
    const append = async (index: number, bytes: Uint8Array): Promise<void> => {
      await write(ends[index]!, bytes);
      ends[index]! += bytes.byteLength;
    };
    for (const weight of unit.weights) {
      if (unit.format === null) {
        const vector = await reader.vector(weight);
        await append(0, new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength));
      } else {
        const linear = await reader.linear(weight);
        if (!sameFormat(formatOf(linear), unit.format)) throw new Error(`${weight} changed its format`);
        const parts = serialize(linear);
        for (const [index, { bytes }] of parts.entries()) await append(index, bytes);
      }
      onWeight?.(weight);
    }
    for (const [index, part] of unit.parts.entries()) {
      if (ends[index] !== part.offset + part.sizeBytes) {
        throw new Error(`the ${part.part} of ${unit.weights.join(', ')} do not fill their place`);
      }
    }
  }
}
