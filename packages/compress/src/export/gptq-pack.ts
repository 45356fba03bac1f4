import { CheckpointError } from '@edgedesk/tensor';
import type { NBitLinear } from '@edgedesk/models';
import { groupsPerRow, middleLevel } from '@edgedesk/models';

/**
 * A linear layer as GPTQ's readers take it (AutoGPTQ's `QuantLinear`, format `gptq`, also called v1). Weights are used
 * transposed, `[in, out]`: w = scales[g] (q - (z + 1)) with g = g_idx[row], where z is what `qzeros` holds.
 */
export interface GptqLayer {
  /** `[in * bits / 32, out]`: 32 / bits rows of one column a word, the first in the lowest bits. */
  readonly qweight: Int32Array;
  /** `[groups, out * bits / 32]`: the zero points of 32 / bits columns a word, each less one. */
  readonly qzeros: Int32Array;
  /** `[groups, out]`, on binary16's grid. */
  readonly scales: Float32Array;
}

/** `linear` packed; the same levels, scales and zero points. CheckpointError for a zero point that v1 cannot hold. */
export function packGptq(linear: NBitLinear, where: string): GptqLayer {
  const { shape, bits, groupSize, levels, scales, zeroPoints } = linear;
  const [rows, columns] = shape;
  const groups = groupsPerRow(columns, groupSize);
  const perWord = 32 / bits;
  const qweight = new Int32Array((columns / perWord) * rows);
  for (let word = 0, at = 0; word < columns / perWord; word++) {
    for (let row = 0; row < rows; row++, at++) {
      const from = row * columns + word * perWord;
      let packed = 0;
      for (let k = 0; k < perWord; k++) packed |= levels[from + k]! << (k * bits);
      qweight[at] = packed;
    }
  }
  const qzeros = new Int32Array(groups * (rows / perWord));
  const turned = new Float32Array(groups * rows);
  for (let group = 0; group < groups; group++) {
    for (let row = 0; row < rows; row++) {
      turned[group * rows + row] = scales[row * groups + group]!;
      const zero = zeroPoints?.[row * groups + group] ?? middleLevel(bits);
      // -1 would run over into the neighbours of a word when a reader adds the one again.
      if (zero === 0) {
        throw new CheckpointError(
          `a group of row ${row} has the zero point 0, which the GPTQ format cannot hold`,
          {
            where,
            fix: 'compress without zero points, or export as GGUF',
          },
        );
      }
      qzeros[group * (rows / perWord) + Math.floor(row / perWord)]! |= (zero - 1) << ((row % perWord) * bits);
    }
  }
  return { qweight, qzeros, scales: turned };
}
