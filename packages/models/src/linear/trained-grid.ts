import { CheckpointError, type Shape } from '@edgedesk/tensor';
import type { WeightSource } from '../weights.js';
import { type NBitFormat, groupsPerRow } from './linear.js';

/**
 * The grid that a weight was trained on, as a checkpoint holds it beside the plain weight: three more tensors, which other
 * readers pass over. `NAME.grid` f32 `[3]` is bits, bits of information and group size; `NAME.grid_scales` f16 and, when
 * asymmetric, `NAME.grid_zero_points` f16 are `[out, ceil(in / groupSize)]`.
 */
export interface TrainedGrid {
  readonly format: NBitFormat;
  /** `[out, groups]`, on binary16's grid. */
  readonly scales: Float32Array<ArrayBuffer>;
  readonly zeroPoints?: Uint8Array<ArrayBuffer>;
}

export const trainedGridNames = (weight: string) => ({
  format: `${weight}.grid`,
  scales: `${weight}.grid_scales`,
  zeroPoints: `${weight}.grid_zero_points`,
});

/** Whether `name` is a grid's tensor. */
export const isGridTensor = (name: string): boolean => /\.grid(_scales|_zero_points)?$/.test(name);

/** Group sizes that a runtime has kernels for. */
const groupSizes: readonly number[] = [16, 32, 64, 128];

/** A tensor of a grid, to be written beside the weights. */
export interface GridTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: 'f32' | 'f16';
  readonly values: Float32Array<ArrayBuffer>;
}

/** The tensors that hold the grid of `weight`, whose shape is `[rows, columns]`. */
export function trainedGridTensors(
  weight: string,
  { format, scales, zeroPoints }: TrainedGrid,
  [rows, columns]: readonly [number, number],
): GridTensor[] {
  const names = trainedGridNames(weight);
  const shape = [rows, groupsPerRow(columns, format.groupSize)];
  const numbers = Float32Array.of(format.bits, format.levelBits ?? format.bits, format.groupSize);
  return [
    { name: names.format, shape: [3], dtype: 'f32', values: numbers },
    { name: names.scales, shape, dtype: 'f16', values: scales },
    ...(zeroPoints
      ? [{ name: names.zeroPoints, shape, dtype: 'f16' as const, values: Float32Array.from(zeroPoints) }]
      : []),
  ];
}

/** The grid that `source` holds of `weight`; null when it has none. CheckpointError when it is malformed. */
export async function readTrainedGrid(
  source: WeightSource,
  weight: string,
  where: string,
): Promise<TrainedGrid | null> {
  const names = trainedGridNames(weight);
  const shape = source.tensors.get(weight)?.shape;
  if (!source.tensors.has(names.format) || shape?.length !== 2) return null;
  const refuse = (name: string, problem: string): never => {
    throw new CheckpointError(`the tensor \`${name}\` ${problem}`, {
      where,
      fix: 'use the checkpoint that training wrote, whole and unchanged',
    });
  };
  if (source.tensors.get(names.format)!.shape.join() !== '3') refuse(names.format, 'does not hold 3 numbers');
  const [bits, levelBits, groupSize] = (await source.readF32(names.format)) as unknown as number[];
  const format = formatOfNumbers(bits!, levelBits!, groupSize!, source.tensors.has(names.zeroPoints));
  if (format === null) return refuse(names.format, 'describes no format');
  const expected = [shape[0]!, groupsPerRow(shape[1]!, format.groupSize)];
  const read = (name: string): Promise<Float32Array<ArrayBuffer>> => {
    const found = source.tensors.get(name)?.shape;
    if (found?.join() !== expected.join()) {
      refuse(name, `is not [${expected.join(', ')}], a number for each group`);
    }
    return source.readF32(name);
  };
  const scales = await read(names.scales);
  if (!scales.every(Number.isFinite)) refuse(names.scales, 'holds a scale that is not finite');
  if (!format.asymmetric) return { format, scales };
  const zeroPoints = await read(names.zeroPoints);
  const highest = 2 ** (format.levelBits ?? format.bits) - 1;
  if (!zeroPoints.every((zero) => Number.isInteger(zero) && zero >= 0 && zero <= highest)) {
    refuse(names.zeroPoints, `holds what is no level from 0 to ${highest}`);
  }
  return { format, scales, zeroPoints: Uint8Array.from(zeroPoints) };
}

function formatOfNumbers(
  bits: number,
  levelBits: number,
  groupSize: number,
  asymmetric: boolean,
): NBitFormat | null {
  if (bits !== 2 && bits !== 4 && bits !== 8) return null;
  if (!groupSizes.includes(groupSize)) return null;
  if (levelBits === bits) return { kind: 'nbit', bits, groupSize, asymmetric };
  if ((levelBits !== 2 && levelBits !== 3) || levelBits > bits) return null;
  return { kind: 'nbit', bits, levelBits, groupSize, asymmetric };
}
