import {
  type DecoderConfig,
  formatOf,
  groupsPerRow,
  levelRange,
  type NBitFormat,
  type NBitLinear,
  weightShapes,
} from '@edgedesk/models';
import type { DifferentiableGraph, Shape, Tensor, Value } from '@edgedesk/tensor';

/** Which weights a training graph rounds to their groups' grids. */
export interface FakeQuantization {
  /** By the weight's name. */
  readonly formats: ReadonlyMap<string, NBitFormat>;
  /** Scales are trained too, as s (1 + gain) with the gain a parameter that starts at 0. */
  readonly learnScales: boolean;
}

/** Where quantization-aware training begins. */
export interface QuantizedStart {
  /** Levels and scales by the weight's name. */
  readonly linears: ReadonlyMap<string, NBitLinear>;
  readonly learnScales: boolean;
}

/** Graph inputs that belong to a quantized weight, each `[out, groups]` f32. */
export const gridInputs = (weight: string) => ({
  scales: `${weight}.scales`,
  zeroPoints: `${weight}.zero_points`,
  gain: `${weight}.scale_gain`,
});

/** Gains are not weights: no decay, no Muon, no initial values but 0. */
export const isGain = (parameter: string): boolean => parameter.endsWith('.scale_gain');

export function fakeQuantizationOf({ linears, learnScales }: QuantizedStart): FakeQuantization {
  const formats = [...linears].map(([name, linear]) => [name, formatOf(linear) as NBitFormat] as const);
  return { formats: new Map(formats), learnScales };
}

/** Shapes of the inputs that fake quantization adds: trained gains, and frozen scales and zero points. */
export function gridShapes(config: DecoderConfig, { formats, learnScales }: FakeQuantization) {
  const shapes = weightShapes(config);
  const gains = new Map<string, Shape>();
  const frozen = new Map<string, Shape>();
  for (const [name, { groupSize, asymmetric }] of formats) {
    const [rows, columns] = shapes.get(name) as readonly [number, number];
    const shape = [rows, groupsPerRow(columns, groupSize)];
    const inputs = gridInputs(name);
    frozen.set(inputs.scales, shape);
    if (asymmetric) frozen.set(inputs.zeroPoints, shape);
    if (learnScales) gains.set(inputs.gain, shape);
  }
  return { gains, frozen };
}

/** Values of the frozen inputs: the scales and zero points that training starts from. */
export function gridTensors({ linears }: QuantizedStart): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const [name, { shape, groupSize, scales, zeroPoints }] of linears) {
    const inputs = gridInputs(name);
    const dims = [shape[0], groupsPerRow(shape[1], groupSize)];
    tensors.set(inputs.scales, { dtype: 'f32', shape: dims, data: scales });
    if (zeroPoints) {
      tensors.set(inputs.zeroPoints, { dtype: 'f32', shape: dims, data: Float32Array.from(zeroPoints) });
    }
  }
  return tensors;
}

/** `weight` rounded to its grid; `input` gives the graph inputs by name. */
export function fakeQuantized(
  g: DifferentiableGraph,
  name: string,
  weight: Value,
  { formats, learnScales }: FakeQuantization,
  input: (name: string) => Value,
): Value {
  const format = formats.get(name)!;
  const inputs = gridInputs(name);
  const start = input(inputs.scales);
  const scales = learnScales
    ? g.apply('mul', [start, g.apply('add', [input(inputs.gain), g.scalar(1)], {})], {})
    : start;
  return g.apply('fakeQuantize', [weight, scales], {
    groupSize: format.groupSize,
    ...levelRange(format),
    zeroPoints: format.asymmetric ? input(inputs.zeroPoints) : undefined,
  });
}
