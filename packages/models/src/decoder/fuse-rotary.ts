import type { Graph, Value } from '@edgedesk/tensor';
import type { Rotation } from '../rotary/rotation.js';

/** Tables of cos and sin by position, each `[positions, rotaryDim / 2]`. */
export interface RotaryCaches {
  readonly cosines: Value;
  readonly sines: Value;
}

/**
 * Rotary tables of `contextLength` positions. Computed inside the graph from a row of frequencies: ONNX Runtime folds
 * them once when it loads the model, and the file stays small. Where a text's length decides between two sets of
 * frequencies, both tables lie one behind the other and a step takes the rows that it needs from one of them.
 *
 * @param total i64 [1]: positions up to the last one of this step
 */
export function rotaryCaches(g: Graph, rotation: Rotation, contextLength: number, total: Value): RotaryCaches {
  const { name, frequencies, magnitude, beyond } = rotation;
  if (beyond === null) {
    const angles = anglesOf(g, frequencies, contextLength, name);
    return { cosines: turned(g, 'Cos', angles, magnitude), sines: turned(g, 'Sin', angles, magnitude) };
  }
  const short = anglesOf(g, frequencies, beyond.positions, name);
  const long = anglesOf(g, beyond.frequencies, contextLength, `${name}.long`);
  const table = { dtype: 'f32' as const, shape: [beyond.positions + contextLength, frequencies.length] };
  const angles = g.node('Concat', [short, long], table, { attributes: { axis: 0 } });
  const one = { dtype: 'i64' as const, shape: [1] };
  const isLong = g.node('Greater', [total, g.i64([beyond.positions])], { dtype: 'bool', shape: [1] });
  const start = g.node('Where', [isLong, g.i64([beyond.positions]), g.i64([0])], one);
  const end = g.node('Add', [start, total], one);
  const rows = (values: Value): Value =>
    g.node('Slice', [values, start, end, g.i64([0])], {
      dtype: 'f32',
      shape: ['total_sequence_length', frequencies.length],
    });
  return {
    cosines: rows(turned(g, 'Cos', angles, magnitude)),
    sines: rows(turned(g, 'Sin', angles, magnitude)),
  };
}

/** position * frequency: `[positions, frequencies]`. */
function anglesOf(g: Graph, frequencies: readonly number[], positions: number, name: string): Value {
  const half = frequencies.length;
  const row = g.node('Range', [g.scalar(0), g.scalar(positions), g.scalar(1)], { dtype: 'f32', shape: [positions] });
  const column = g.node('Unsqueeze', [row, g.i64([1])], { dtype: 'f32', shape: [positions, 1] });
  return g.node('Mul', [column, g.f32(Float32Array.from(frequencies), [1, half])], {
    dtype: 'f32',
    shape: [positions, half],
    name: `${name}.angles`,
  });
}

function turned(g: Graph, opType: 'Cos' | 'Sin', angles: Value, magnitude: number): Value {
  const table = { dtype: 'f32' as const, shape: angles.shape };
  const values = g.node(opType, [angles], table);
  return magnitude === 1 ? values : g.node('Mul', [values, g.scalar(magnitude)], table);
}
