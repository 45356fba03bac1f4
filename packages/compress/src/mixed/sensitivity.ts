import type { DecoderConfig } from '@edgedesk/models';
import { storedSize, weightShapes } from '@edgedesk/models';
import { RecipeError } from '@edgedesk/tensor';
import { z } from 'zod';
import type { WeightFormat } from '../quantize/settings.js';
import { nbitFormat, weightFormat } from '../quantize/settings.js';

/** Far more than there are ways to store a weight. */
const maxChoices = 64;
const maxWeights = 2 ** 16;
const maxName = 200;

const choice = z.object({
  format: weightFormat,
  /** KL at the model's output, in nats a token, when this weight alone is stored so; estimated. */
  kl: z.number().min(0),
});

export const sensitivitySchema = z.object({
  format: z.literal(1),
  model: z.string().max(maxName),
  method: z.enum(['rtn', 'search', 'gptq']),
  /** Tokens that the divergence at the output was measured on. */
  probeTokens: z.int().min(1),
  weights: z
    .array(
      z.object({
        name: z.string().max(maxName),
        shape: z.tuple([z.int().min(1), z.int().min(1)]),
        /** Bits at which this weight alone was quantized to measure the KL at the output, and that KL. */
        measured: z.object({ bits: z.int(), kl: z.number().min(0) }),
        choices: z.array(choice).min(1).max(maxChoices),
      }),
    )
    .max(maxWeights),
});

/** How much worse a model becomes when each of its weights alone is stored in fewer bits. */
export type Sensitivity = z.output<typeof sensitivitySchema>;
export type WeightSensitivity = Sensitivity['weights'][number];

/** Bytes that a weight takes in a format, scales and padding included. */
export function formatSize(format: WeightFormat, shape: readonly [number, number]): number {
  return storedSize(nbitFormat(format), shape);
}

const fix = 'measure it again with `edgedesk sensitivity`';

/** A sensitivity from a file. RecipeError when it is malformed. */
export function parseSensitivity(json: unknown, where: string): Sensitivity {
  const parsed = sensitivitySchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new RecipeError(`"${path.join('.')}" cannot be used: ${message}`, { where, fix });
}

/** RecipeError when it was measured on a model of another shape. */
export function checkSensitivity({ weights }: Sensitivity, config: DecoderConfig, where: string): void {
  const matrices = [...weightShapes(config)].filter(([, shape]) => shape.length === 2);
  const known = new Map(weights.map((weight) => [weight.name, weight.shape.join()]));
  const missing = matrices.find(([name, shape]) => known.get(name) !== shape.join());
  if (missing === undefined && known.size === matrices.length) return;
  throw new RecipeError(`it is of another model: ${missing?.[0] ?? 'it has more weights'}`, { where, fix });
}
