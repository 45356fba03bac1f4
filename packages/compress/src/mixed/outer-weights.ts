import { toDense, weightName } from '@edgedesk/models';
import type { Model } from '../model.js';
import { importanceOf } from '../quantize/importance.js';
import type { WeightFormat } from '../quantize/settings.js';
import { nbitFormat } from '../quantize/settings.js';
import { diagonalSolver } from '../quantize/solve-in-format.js';
import type { SensitivityOptions } from './measure-sensitivity.js';
import type { ProbeStreams } from './probe-streams.js';
import type { Effect } from './weight-error.js';
import { quantizationError, relativeErrors, spreadRows, weightedError } from './weight-error.js';

/** The embedding and the head are rarely stored in fewer bits than these. */
const reference: WeightFormat = { bits: 4, groupSize: 32, asymmetric: false };
/** Rows of the vocabulary that formats are compared on. */
const sampledRows = 1024;

/** The stream of a quantized embedding, whose inputs are single rows: no column matters more than another. */
export async function embeddingEffect(
  model: Model,
  embedding: Float32Array,
  { method, formats }: SensitivityOptions,
  probes: ProbeStreams,
): Promise<Effect> {
  const name = weightName.embedding;
  const { shape } = model.linears.get(name)!;
  const where = `${model.name}, tensor "${name}"`;
  const solve = diagonalSolver(method, new Float32Array(shape[1]).fill(1));
  const looked = probes.rows(embedding);
  const levels = await solve(looked.data, [looked.rows, looked.columns], nbitFormat(reference), where);
  const errorIn = async (format: WeightFormat): Promise<number> =>
    weightedError(await quantizationError(looked, solve, format, where), null);
  return {
    name,
    bits: reference.bits,
    stream: probes.behind({ ...looked, data: toDense(levels) }),
    relativeErrors: await relativeErrors(formats, reference, errorIn),
  };
}

/** The quantized head. `headInput`: mean squares of what it reads. */
export async function headEffect(
  model: Model,
  name: string,
  head: Float32Array,
  headInput: Float32Array,
  { method, formats }: SensitivityOptions,
): Promise<Omit<Effect, 'stream'> & { readonly changed: Float32Array }> {
  const { shape } = model.linears.get(name)!;
  const where = `${model.name}, tensor "${name}"`;
  const solve = diagonalSolver(method, headInput);
  const importance = importanceOf(headInput);
  const sample = spreadRows(head, shape, sampledRows);
  const errorIn = async (format: WeightFormat): Promise<number> =>
    weightedError(await quantizationError(sample, solve, format, where), importance);
  return {
    name,
    bits: reference.bits,
    changed: toDense(await solve(head, shape, nbitFormat(reference), where)),
    relativeErrors: await relativeErrors(formats, reference, errorIn),
  };
}
