import type { DecoderConfig, LinearFormat } from '@edgedesk/models';
import { fuseDecoder } from '@edgedesk/models';
import { encodeModel, RecipeError } from '@edgedesk/tensor';
import type { WeightFormat } from '../quantize/settings.js';
import { nbitFormat } from '../quantize/settings.js';
import { chooseUnderBudget } from './choose-under-budget.js';
import type { Sensitivity } from './sensitivity.js';
import { formatSize } from './sensitivity.js';

/** How each weight is to be stored, and what is expected of that. */
export interface Assignment {
  readonly formats: Readonly<Record<string, WeightFormat>>;
  /** Bytes of the model and its external data. */
  readonly sizeBytes: number;
  /** KL at the output, in nats a token: the sum of the weights' own. */
  readonly kl: number;
}

/** Times that the budget for weights is corrected by what alignment and the graph took. */
const maxCorrections = 8;

/** Less room than this is not worth another attempt. */
const negligibleBytes = 256;

/** The longest name of a data file, which the graph repeats for each array. */
const dataFile = 'model_quantized.onnx_data';

/** Bytes that an artefact's model and its data take with weights in these formats: never too few. */
export function artefactSize(config: DecoderConfig, formatOf: (weight: string) => LinearFormat): number {
  const { graph, dataSizeBytes } = fuseDecoder(config, { dataFile, formatOf });
  return dataSizeBytes + encodeModel(graph, { graphName: 'decoder' }).byteLength;
}

/**
 * The assignment of formats to weights with the least expected KL whose artefact is no larger than `budgetBytes`,
 * exact up to the few bytes that graph and alignment vary by, and no worse than any one format for all that fits.
 * RecipeError when the smallest formats are too large for it; `where` names the budget.
 */
export function assignFormats(
  sensitivity: Sensitivity,
  config: DecoderConfig,
  budgetBytes: number,
  where: string,
): Assignment {
  const { weights } = sensitivity;
  const choices = weights.map(({ shape, choices: own }) =>
    own.map(({ format, kl }) => ({ size: formatSize(format, shape), cost: kl })),
  );
  const smallest = choices.map((own) =>
    own.reduce((best, { size }, i) => (size < own[best]!.size ? i : best), 0),
  );
  const least = assignmentOf(sensitivity, config, smallest);
  if (least.sizeBytes > budgetBytes) {
    throw new RecipeError(`even the smallest formats take ${least.sizeBytes} bytes of the ${budgetBytes}`, {
      where,
      fix: 'allow more, or narrower formats',
    });
  }
  const common = Math.min(...choices.map((own) => own.length));
  const uniform = Array.from({ length: common }, (_, i) => choices.map(() => i)).map((indices) =>
    assignmentOf(sensitivity, config, indices),
  );
  let best = [least, ...uniform]
    .filter(({ sizeBytes }) => sizeBytes <= budgetBytes)
    .reduce((a, b) => (b.kl < a.kl ? b : a));
  // Norms, the graph and alignment take about the same with any assignment; what they differ by is corrected.
  let room = budgetBytes - (least.sizeBytes - sizeOf(choices, smallest));
  for (let i = 0; i < maxCorrections; i++) {
    const chosen = chooseUnderBudget(choices, room);
    if (chosen === null) break;
    const found = assignmentOf(sensitivity, config, chosen.indices);
    if (found.sizeBytes <= budgetBytes && found.kl < best.kl) best = found;
    const left = budgetBytes - found.sizeBytes;
    if (left >= 0 && left < negligibleBytes) break;
    room += left;
  }
  return best;
}

const sizeOf = (
  things: readonly (readonly { readonly size: number }[])[],
  indices: readonly number[],
): number => indices.reduce((sum, index, thing) => sum + things[thing]![index]!.size, 0);

function assignmentOf(
  { weights }: Sensitivity,
  config: DecoderConfig,
  indices: readonly number[],
): Assignment {
  const chosen = weights.map(({ name, choices }, i) => ({ name, ...choices[indices[i]!]! }));
  const formats = Object.fromEntries(chosen.map(({ name, format }) => [name, format]));
  return {
    formats,
    sizeBytes: artefactSize(config, (weight) => nbitFormat(formats[weight]!)),
    kl: chosen.reduce((sum, choice) => sum + choice.kl, 0),
  };
}
