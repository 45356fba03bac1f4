import type { FileStore } from '@edgedesk/tensor';
import { CheckpointError } from '@edgedesk/tensor';
import { z } from 'zod';
import { type DecoderConfig, modelTypes } from '../config.js';
import type { RopeScaling } from '../rotary/rope-scaling.js';
import { readJson } from '../checkpoint/read-json.js';
import type { LinearFormat } from '../linear/linear.js';

/** The file that makes a folder an artefact. */
export const manifestPath = 'edgedesk.json';

/** A manifest of a thousand layers, each with its own format, is under 2 MB. */
const maxManifestBytes = 4 * 2 ** 20;
/** An artefact has about a dozen files; sharded data of the largest models would have some hundred. */
const maxFiles = 1024;
/** Far above the largest published decoders, and small enough that no product of two sizes loses precision. */
const maxVocab = 2 ** 21;
const maxWidth = 2 ** 18;
const maxLayers = 1024;
const maxContext = 2 ** 24;
const maxTextLength = 200;
const maxProvenanceSteps = 256;

const size = (max: number) => z.int().min(1).max(max);
const tokenId = z
  .int()
  .min(0)
  .max(maxVocab - 1);

/** Letters, digits, `.`, `_`, `-` and `/` between names: such a path cannot leave the artefact's folder. */
const safePath = z
  .string()
  .max(maxTextLength)
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/, 'must be a path inside the artefact');

const positive = z.number().positive();
const frequencyFactors = z.array(positive).max(maxWidth).readonly();

const ropeScaling = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('linear'), factor: positive }),
  z.object({
    kind: z.literal('llama3'),
    factor: positive,
    lowFrequencyFactor: positive,
    highFrequencyFactor: positive,
    originalContext: size(maxContext),
  }),
  z.object({
    kind: z.literal('yarn'),
    factor: positive,
    originalContext: size(maxContext),
    betaFast: positive,
    betaSlow: positive,
    truncate: z.boolean(),
    magnitude: positive,
  }),
  z.object({
    kind: z.literal('longrope'),
    shortFactors: frequencyFactors,
    longFactors: frequencyFactors,
    originalContext: size(maxContext),
    magnitude: positive,
  }),
]) satisfies z.ZodType<RopeScaling>;

const decoderConfig = z
  .object({
    modelType: z.enum(modelTypes),
    vocabSize: size(maxVocab),
    hiddenSize: size(maxWidth),
    intermediateSize: size(maxWidth * 8),
    layerCount: size(maxLayers),
    headCount: size(maxWidth),
    kvHeadCount: size(maxWidth),
    headDim: size(maxWidth).multipleOf(2),
    contextLength: size(maxContext),
    ropeTheta: z.number().positive(),
    normEpsilon: z.number().positive().max(1),
    tiedEmbedding: z.boolean(),
    qkvBias: z.boolean(),
    qkNorm: z.boolean(),
    rotaryDim: size(maxWidth).multipleOf(2).optional(),
    ropeScaling: ropeScaling.optional(),
    local: z
      .object({
        window: size(maxContext),
        layers: z.array(z.boolean()).max(maxLayers).readonly(),
        ropeTheta: z.number().positive().optional(),
      })
      .optional(),
    attentionScale: z.number().positive().optional(),
    embeddingScale: z.number().positive().optional(),
    activation: z.enum(['silu', 'gelu']).optional(),
    outputNorms: z.boolean().optional(),
    bosTokenId: tokenId.nullable(),
    eosTokenIds: z.array(tokenId).max(64),
    padTokenId: tokenId.nullable(),
  })
  .refine((c) => c.headCount % c.kvHeadCount === 0, {
    path: ['kvHeadCount'],
    message: 'must divide headCount',
  })
  .refine((c) => (c.rotaryDim ?? 2) <= c.headDim, { path: ['rotaryDim'], message: 'must be at most headDim' })
  .refine((c) => (c.local?.layers.length ?? c.layerCount) === c.layerCount, {
    path: ['local', 'layers'],
    message: 'must have an entry for every layer',
  })
  .refine(
    ({ ropeScaling: scaling, rotaryDim, headDim }) =>
      scaling?.kind !== 'longrope' ||
      [scaling.shortFactors, scaling.longFactors].every(({ length }) => length === (rotaryDim ?? headDim) / 2),
    { path: ['ropeScaling'], message: 'must have a factor for every pair of dimensions' },
  ) satisfies z.ZodType<DecoderConfig>;

/** Block sizes that ONNX Runtime's kernels take. */
const groupSizes = [16, 32, 64, 128, 256];

const linearFormat = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('dense'), storage: z.enum(['f32', 'f16']) }),
  z.object({
    kind: z.literal('nbit'),
    bits: z.union([z.literal(2), z.literal(4), z.literal(8)]),
    levelBits: z.union([z.literal(2), z.literal(3)]).optional(),
    groupSize: z.int().refine((n) => groupSizes.includes(n), `must be one of ${groupSizes.join(', ')}`),
    asymmetric: z.boolean(),
  }),
]) satisfies z.ZodType<LinearFormat>;

const fileEntry = z.object({
  path: safePath,
  sizeBytes: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits'),
});

const provenanceStep = z.object({
  /** The pass, or `checkpoint` for where the model came from. */
  step: z.string().min(1).max(maxTextLength),
  settings: z.record(z.string().max(maxTextLength), z.json()),
});

const manifest = z
  .object({
    format: z.literal(1),
    name: z.string().min(1).max(maxTextLength),
    /** The ONNX model; its external data lies beside it. */
    model: safePath,
    config: decoderConfig,
    /** Formats of the linear weights: the usual one, and those that differ by weight name. */
    quantization: z.object({
      default: linearFormat,
      overrides: z.record(z.string().max(maxTextLength), linearFormat),
    }),
    /** Weights of every tensor, a tied head counted once. */
    parameters: z.int().min(1),
    /** Bytes of the model and its external data. */
    sizeBytes: z.int().min(1),
    bitsPerWeight: z.number().positive(),
    /** The same with each level counted at the bits of information in it, where containers are wider than that. */
    informationBitsPerWeight: z.number().positive().optional(),
    provenance: z.array(provenanceStep).max(maxProvenanceSteps),
    /** Every other file of the folder. */
    files: z.array(fileEntry).min(1).max(maxFiles),
  })
  .refine((m) => new Set(m.files.map((f) => f.path)).size === m.files.length, {
    path: ['files'],
    message: 'must list each path once',
  })
  .refine((m) => m.files.some((f) => f.path === m.model), { path: ['model'], message: 'must be one of files' });

/** What an artefact says about itself; see `manifestPath`. */
export type Manifest = Readonly<z.infer<typeof manifest>>;
export type ManifestFile = Manifest['files'][number];
export type ProvenanceStep = Readonly<z.infer<typeof provenanceStep>>;

/** Reads and checks the manifest of the artefact in `store`; CheckpointError says what is wrong with it. */
export async function readManifest(store: FileStore): Promise<Manifest> {
  const where = `${store.name}/${manifestPath}`;
  const fix = 'write the artefact again with `edgedesk compress`';
  const json = await readJson(store, manifestPath, maxManifestBytes);
  const parsed = manifest.safeParse(json);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const key = path.length === 0 ? 'the manifest' : `"${path.join('.')}"`;
  throw new CheckpointError(`${key} cannot be used: ${message}`, { where, fix });
}
