import { linearRoles } from '@edgedesk/models';
import { z } from 'zod';
import { adamwDefaults } from '../optimizer/adamw.js';
import { muonDefaults } from '../optimizer/muon.js';
import { noiseDefaults } from '../data/noise.js';
import { drillDefaults } from '../data/drill.js';
import { groundedMixDefaults } from '../data/grounded-mix.js';
import { scheduleDefaults } from '../schedule/schedule.js';

/** Bounds on sizes in a recipe: what one machine can hold at all. Larger numbers are typing errors. */
const maxDimension = 65_536;
const maxVocab = 1_048_576;
const maxLayers = 512;

const positive = z.number().positive();
const count = (max: number) => z.int().min(1).max(max);
const share = z.number().min(0).max(1);
const path = z.string().min(1);

const interval = z
  .strictObject({ steps: count(1e9).optional(), minutes: positive.optional() })
  .refine((value) => Object.keys(value).length > 0, 'needs `steps` or `minutes`');

const model = z.strictObject({
  modelType: z.enum(['llama', 'mistral', 'qwen2', 'qwen3']).default('llama'),
  hiddenSize: count(maxDimension),
  intermediateSize: count(4 * maxDimension),
  layerCount: count(maxLayers),
  headCount: count(1024),
  kvHeadCount: count(1024).optional(),
  headDim: count(1024).optional(),
  contextLength: count(1_048_576),
  ropeTheta: positive.default(10_000),
  normEpsilon: positive.default(1e-5),
  tiedEmbedding: z.boolean().default(true),
  qkvBias: z.boolean().default(false),
  qkNorm: z.boolean().default(false),
  /** First weights: normal ones, or with heads that copy (`withCopyingHeads`), which an untied head needs. */
  start: z.enum(['normal', 'copying']).default('normal'),
});

const tokenizer = z.union([
  z.strictObject({ folder: path }),
  z.strictObject({
    train: z.strictObject({
      vocabSize: count(maxVocab),
      /** Characters read, over all training files by their weights in the phases. */
      characters: count(2e9).default(60_000_000),
    }),
  }),
]);

const source = z
  .strictObject({
    name: z.string().min(1).max(100).optional(),
    files: z.array(path).min(1),
    weight: positive.optional(),
    epochs: positive.optional(),
    loss: z.enum(['assistant', 'all']).default('assistant'),
    grounded: z
      .strictObject({
        distractors: z.int().min(0).max(64).default(groundedMixDefaults.distractors),
        unanswerable: share.default(groundedMixDefaults.unanswerable),
        variants: count(64).default(groundedMixDefaults.variants),
        questions: count(64).default(groundedMixDefaults.questions),
      })
      .default({ ...groundedMixDefaults }),
    noise: z
      .strictObject({
        words: share.default(noiseDefaults.words),
        letters: share.default(noiseDefaults.letters),
        variants: count(64).default(noiseDefaults.variants),
      })
      .default({ ...noiseDefaults }),
    /** Messages of one intent conversation at most. */
    intents: count(64).default(1),
    /** Makes exercises in reading of plain text (`exercisesOf`). */
    reading: z.strictObject({ questions: count(16).default(3), passages: count(16).default(3) }).optional(),
    /** Makes drills of grounded rows (`drillsOf`). */
    drill: z
      .strictObject({
        questions: count(64).default(drillDefaults.questions),
        passages: z.int().min(0).max(64).default(drillDefaults.passages),
        unanswerable: share.default(drillDefaults.unanswerable),
        opening: count(1024).default(drillDefaults.opening),
      })
      .optional(),
  })
  .refine(
    (value) => (value.weight === undefined) !== (value.epochs === undefined),
    'needs `weight` or `epochs`',
  );

const phase = z.strictObject({
  name: z.string().min(1).max(100),
  share: positive.optional(),
  sources: z.array(source).min(1),
});

export const recipeSchema = z.strictObject({
  name: z.string().regex(/^[\w.-]{1,100}$/, 'may hold letters, digits, `-`, `_` and `.`, at most 100'),
  seed: z.int().min(0).max(0xffffffff).default(1),
  model: model.optional(),
  tokenizer: tokenizer.optional(),
  base: path.optional(),
  lora: z
    .strictObject({
      rank: count(1024),
      alpha: positive,
      roles: z.array(z.enum(linearRoles)).min(1).default(['q', 'v']),
    })
    .optional(),
  /** Quantization-aware training: weights are rounded to their groups' grids in every step. */
  quantize: z
    .strictObject({
      bits: z.literal([2, 3, 4, 8]),
      /** Weights that share a scale. */
      group: z.literal([16, 32, 64, 128]).default(32),
      symmetric: z.boolean().default(true),
      /** Bits of the embedding and the head; 16 and 32 leave them plain. @default 8 */
      embeddingBits: z.literal([2, 3, 4, 8, 16, 32]).optional(),
      /** How the levels are found that training starts from. */
      method: z.enum(['rtn', 'search', 'gptq']).default('gptq'),
      scales: z.enum(['learned', 'fixed']).default('learned'),
      /** Files of rows that search and gptq look at. @default all training files */
      calibration: z.array(path).min(1).optional(),
      calibrationTokens: count(2 ** 22).optional(),
    })
    .optional(),
  /** A model with the same tokenizer whose predictions are learned from; `share` of the loss is KL, the rest cross-entropy. */
  teacher: z.strictObject({ model: path, share: share.default(1) }).optional(),
  sequence: count(131_072),
  batch: count(4096),
  accumulate: count(4096).default(1),
  /** The first `tokens` tokens of each reply count `weight` times. */
  emphasis: z.strictObject({ tokens: count(1024), weight: positive }).optional(),
  budget: z
    .strictObject({
      steps: count(1e9).optional(),
      tokens: count(1e15).optional(),
      minutes: positive.optional(),
    })
    .optional(),
  optimizer: z
    .strictObject({
      lr: positive,
      /** Muon updates the matrices of the blocks, AdamW the rest; both use `lr` and `weightDecay`. */
      muon: z.strictObject({ momentum: share.default(muonDefaults.momentum) }).optional(),
      beta1: share.default(adamwDefaults.beta1),
      beta2: share.default(adamwDefaults.beta2),
      epsilon: positive.default(adamwDefaults.epsilon),
      weightDecay: z.number().min(0).default(adamwDefaults.weightDecay),
      decayEmbedding: z.boolean().default(false),
      clip: z.number().min(0).default(adamwDefaults.clip),
      average: z.number().min(0).lt(1).default(adamwDefaults.average),
    })
    .refine(({ beta1, beta2 }) => beta1 < 1 && beta2 < 1, 'needs `beta1` and `beta2` below 1'),
  schedule: z
    .strictObject({
      kind: z.enum(['constant', 'cosine', 'wsd']).default(scheduleDefaults.kind),
      warmup: share.default(scheduleDefaults.warmup),
      decay: share.default(scheduleDefaults.decay),
      shape: z.enum(['linear', '1-sqrt']).default(scheduleDefaults.shape),
      floor: share.default(scheduleDefaults.floor),
    })
    .default({ ...scheduleDefaults }),
  data: z.array(phase).min(1),
  evaluation: z
    .strictObject({
      files: z.array(path).min(1),
      every: interval.default({ minutes: 5 }),
      /** Positions per file; a fixed random part of a longer one. */
      tokens: count(1e9).default(32_768),
    })
    .optional(),
  checkpoint: z
    .strictObject({ every: interval.default({ minutes: 5 }), keep: count(100).default(2) })
    .default({ every: { minutes: 5 }, keep: 2 }),
  output: z
    .strictObject({ dtype: z.enum(['f32', 'f16']).default('f16'), merge: z.boolean().default(true) })
    .default({ dtype: 'f16', merge: true }),
});

/** A recipe as written, defaults filled in. Paths are relative to the recipe file. */
export type Recipe = z.output<typeof recipeSchema>;
export type RecipePhase = Recipe['data'][number];
export type RecipeSource = RecipePhase['sources'][number];
