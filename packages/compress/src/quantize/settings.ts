import type { LinearFormat, NBitFormat } from '@edgedesk/models';
import { weightName } from '@edgedesk/models';
import { z } from 'zod';

/** Bits of information in a level, or 16 and 32 for plain floats. */
const outerBits = z.literal([2, 3, 4, 8, 16, 32]);
const levelBits = z.literal([2, 3, 4, 8]);
const containerBits = z.literal([2, 4, 8]);
const groupSize = z.literal([16, 32, 64, 128]);

/** More named weights than the largest published decoders have. */
const maxFormats = 2 ** 16;

/** How one weight is to be stored. */
export const weightFormat = z.strictObject({
  bits: levelBits,
  groupSize,
  asymmetric: z.boolean().default(false),
});
export type WeightFormat = z.output<typeof weightFormat>;

/** What the passes that quantize in groups have in common. */
export const quantizeSettings = z.strictObject({
  /** Bits of information in a weight's level; 3 are stored in 4. */
  bits: levelBits,
  /** Store levels in no fewer bits than these, for runtimes that have no kernels for narrower ones. */
  storedBits: containerBits.optional(),
  /** Weights that share a scale. ONNX Runtime has kernels for these. */
  groupSize: groupSize.default(32),
  /** A zero point for each group: a little better and `bits / groupSize` bits a weight larger. */
  asymmetric: z.boolean().default(false),
  /**
   * Bits of the embedding and the head; 32 and 16 leave them plain floats. @default 8: rounded to 4 bits they cost a small
   * model several times what all its layers do
   */
  embeddingBits: outerBits.optional(),
  /** Weights that are stored in another way, by name: mixed precision. */
  formats: z
    .record(
      z.string(),
      z.strictObject({ bits: levelBits, groupSize, asymmetric: z.boolean().default(false) }),
    )
    .refine((formats) => Object.keys(formats).length <= maxFormats, `names more than ${maxFormats} weights`)
    .optional(),
});

export type QuantizeSettings = z.output<typeof quantizeSettings>;

/** The narrowest container for levels of so many bits, no narrower than `least`. */
export function nbitFormat(
  { bits, groupSize: size, asymmetric }: WeightFormat,
  least: 2 | 4 | 8 = 2,
): NBitFormat {
  const narrowest = bits === 3 ? 4 : bits;
  const container = narrowest < least ? least : narrowest;
  const spare = bits < container && bits < 4 ? { levelBits: bits as 2 | 3 } : {};
  return { kind: 'nbit', bits: container, ...spare, groupSize: size, asymmetric };
}

/** How the settings have `weight` stored. */
export function formatOfWeight(settings: QuantizeSettings, weight: string): LinearFormat {
  const { bits, groupSize: size, asymmetric, embeddingBits = 8, storedBits, formats } = settings;
  const named = formats?.[weight];
  if (named) return nbitFormat(named, storedBits);
  const own = weight === weightName.embedding || weight === weightName.head ? embeddingBits : bits;
  if (own === 16 || own === 32) return { kind: 'dense', storage: own === 16 ? 'f16' : 'f32' };
  // Beside narrower layers, 8 bits go without zero points: they gain nothing there, and GGUF has no such blocks.
  const plain = own === 8 && bits < 8;
  return nbitFormat({ bits: own, groupSize: size, asymmetric: asymmetric && !plain }, storedBits);
}

/** The settings as a step of a model's provenance; formats by name are in the manifest. */
export function recordedSettings(settings: QuantizeSettings): Record<string, number | boolean> {
  const { bits, groupSize: size, asymmetric, embeddingBits = 8, storedBits, formats } = settings;
  return {
    bits,
    groupSize: size,
    asymmetric,
    embeddingBits,
    ...(storedBits === undefined ? {} : { storedBits }),
    ...(formats === undefined ? {} : { formatsByName: Object.keys(formats).length }),
  };
}
