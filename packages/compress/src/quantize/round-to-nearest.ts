import type { NBitFormat, NBitLinear } from '@edgedesk/models';
import { groupsPerRow, weightName } from '@edgedesk/models';
import { z } from 'zod';
import { denseWeight, withLinears } from '../model.js';
import { definePass } from '../pass.js';
import { asymmetricGrid, checkScale, roundToGrids, symmetricGrid } from './grid.js';
import { plainSlot } from './plain-slot.js';

/**
 * Rounds each weight to the nearest level of its group's grid.
 *
 * weight: `[out, in]` row-major f32. The scale is rounded to binary16 before the levels are chosen, so they are the
 * nearest ones on the grid that is stored. CheckpointError when a group's weights need a scale beyond binary16; `where`
 * names the tensor.
 */
export function roundToNearest(
  weight: Float32Array,
  shape: readonly [number, number],
  format: NBitFormat,
  where: string,
): NBitLinear {
  const [rows, columns] = shape;
  const { bits, groupSize, asymmetric } = format;
  const groups = groupsPerRow(columns, groupSize);
  const scales = new Float32Array(rows * groups);
  const zeroPoints = asymmetric ? new Uint8Array(rows * groups) : undefined;
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) {
      const start = row * columns + group * groupSize;
      const end = Math.min(start + groupSize, (row + 1) * columns);
      const grid = asymmetric
        ? asymmetricGrid(weight, start, end, bits)
        : symmetricGrid(weight, start, end, bits);
      checkScale(grid.scale, row, bits, where);
      scales[row * groups + group] = grid.scale;
      if (zeroPoints) zeroPoints[row * groups + group] = grid.zero;
    }
  }
  return roundToGrids(weight, shape, format, { scales, ...(zeroPoints ? { zeroPoints } : {}) });
}

const settings = z.strictObject({
  bits: z.literal([2, 4, 8]),
  /** Weights that share a scale. ONNX Runtime has kernels for these. */
  groupSize: z.literal([16, 32, 64, 128]).default(32),
  /** A zero point for each group: a little better and `bits / groupSize` bits a weight larger. */
  asymmetric: z.boolean().default(false),
  /** Bits of the embedding and the head; 32 and 16 leave them plain floats. @default `bits` */
  embeddingBits: z.literal([2, 4, 8, 16, 32]).optional(),
});

/** The baseline of every method: no data, seconds of work; at 4 bits small models lose noticeably. */
export const roundToNearestPass = definePass({
  name: 'round-to-nearest',
  settings,
  needs: 'nothing',
  apply(model, { bits, groupSize, asymmetric, embeddingBits = bits }) {
    const isOuter = (weight: string): boolean =>
      weight === weightName.embedding || weight === weightName.head;
    const step = { step: 'round-to-nearest', settings: { bits, groupSize, asymmetric, embeddingBits } };
    return Promise.resolve(
      withLinears(
        model,
        (slot, weight) => {
          const own = isOuter(weight) ? embeddingBits : bits;
          if (own === 16 || own === 32) return plainSlot(slot, own);
          const format: NBitFormat = { kind: 'nbit', bits: own, groupSize, asymmetric };
          const where = `${model.name}, tensor "${weight}"`;
          return {
            shape: slot.shape,
            format,
            read: async () => roundToNearest(denseWeight(await slot.read()), slot.shape, format, where),
          };
        },
        step,
      ),
    );
  },
});
