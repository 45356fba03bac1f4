import type { NBitFormat, NBitLinear } from '@edgedesk/models';
import { groupsPerRow, levelRange } from '@edgedesk/models';
import { denseWeight, withLinears } from '../model.js';
import { definePass } from '../pass.js';
import { asymmetricGrid, checkScale, roundToGrids, symmetricGrid } from './grid.js';
import { plainSlot } from './plain-slot.js';
import { formatOfWeight, quantizeSettings, recordedSettings } from './settings.js';

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
  const range = levelRange(format);
  const groups = groupsPerRow(columns, groupSize);
  const scales = new Float32Array(rows * groups);
  const zeroPoints = asymmetric ? new Uint8Array(rows * groups) : undefined;
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) {
      const start = row * columns + group * groupSize;
      const end = Math.min(start + groupSize, (row + 1) * columns);
      const grid = asymmetric
        ? asymmetricGrid(weight, start, end, range)
        : symmetricGrid(weight, start, end, range);
      checkScale(grid.scale, row, bits, where);
      scales[row * groups + group] = grid.scale;
      if (zeroPoints) zeroPoints[row * groups + group] = grid.zero;
    }
  }
  return roundToGrids(weight, shape, format, { scales, ...(zeroPoints ? { zeroPoints } : {}) });
}

/** The baseline of every method: no data, seconds of work; at 4 bits small models lose noticeably. */
export const roundToNearestPass = definePass({
  name: 'round-to-nearest',
  settings: quantizeSettings,
  needs: 'nothing',
  apply: (model, settings) =>
    Promise.resolve(
      withLinears(
        model,
        (slot, weight) => {
          const format = formatOfWeight(settings, weight);
          if (format.kind === 'dense') return plainSlot(slot, format);
          const where = `${model.name}, tensor "${weight}"`;
          return {
            shape: slot.shape,
            format,
            read: async () => roundToNearest(denseWeight(await slot.read()), slot.shape, format, where),
          };
        },
        { step: 'round-to-nearest', settings: recordedSettings(settings) },
      ),
    ),
});
