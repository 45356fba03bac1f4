import type { TrainState } from '../trainer/train-state.js';

/** Dots of a Braille character by column (2) and row (4), from U+2800. */
const dots = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;
const axisWidth = 8;

/**
 * The training loss as a block of text, `columns` wide and `rows` high, in Braille dots; each column shows the mean of
 * its steps. Returns '' when there is nothing to show yet or no room.
 */
export function lossCurveText(state: Pick<TrainState, 'steps'>, columns: number, rows: number): string {
  const losses = state.steps.map(({ loss }) => loss).filter((loss) => Number.isFinite(loss));
  const width = (columns - axisWidth) * 2;
  const height = rows * 4;
  if (losses.length < 2 || width < 8 || rows < 2) return '';
  const count = Math.min(width, losses.length);
  const means = Array.from({ length: count }, (_, i) => {
    const part = losses.slice(
      Math.floor((i * losses.length) / count),
      Math.floor(((i + 1) * losses.length) / count),
    );
    return part.reduce((a, b) => a + b, 0) / part.length;
  });
  const low = Math.min(...means);
  const high = Math.max(...means);
  const cells = Array.from({ length: rows }, () => new Array<number>(columns - axisWidth).fill(0));
  means.forEach((mean, i) => {
    const x = Math.floor((i * (width - 1)) / Math.max(1, count - 1));
    const y = Math.round(((high - mean) / (high - low || 1)) * (height - 1));
    cells[y >> 2]![x >> 1]! |= dots[x & 1]![y & 3]!;
  });
  return cells
    .map((cell, row) => {
      const label = row === 0 ? high.toFixed(2) : row === rows - 1 ? low.toFixed(2) : '';
      const line = cell.map((bits) => String.fromCodePoint(0x2800 + bits)).join('');
      return `${label.padStart(axisWidth - 2)} ┤${line}`;
    })
    .join('\n');
}
