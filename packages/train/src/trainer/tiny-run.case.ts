import type { DecoderConfig } from '@edgedesk/models';
import type { OrtBackend } from '@edgedesk/tensor';
import { piecesOf } from '../data/pieces.js';
import { TokenSourceBuilder, type TokenSource } from '../data/token-source.js';
import { fromScratch } from '../initialise/initial-weights.js';
import { adamwDefaults } from '../optimizer/adamw.js';
import { uniformAt } from '../random/philox.js';
import { scheduleDefaults } from '../schedule/schedule.js';
import { Trainer, type TrainerOptions } from './trainer.js';
import { tinyConfig as smallest } from '../../../models/src/decoder/decoder.case.js';

export const tinyConfig: DecoderConfig = {
  ...smallest,
  vocabSize: 40,
  hiddenSize: 32,
  intermediateSize: 48,
  headDim: 8,
};

/**
 * A language that can be learned: a "question" of random letters, a mark, and the same letters again as the "reply",
 * which alone carries loss.
 */
export function echoSource(name: string, documents: number, seed: number): TokenSource {
  const builder = new TokenSourceBuilder(name, tinyConfig.vocabSize);
  for (let d = 0; d < documents; d++) {
    const length = 1 + Math.floor(uniformAt(seed, d, 0) * 8);
    const letters = Array.from({ length }, (_, i) => 4 + Math.floor(uniformAt(seed, d, i + 1) * 6));
    const ids = [1, ...letters, 3, ...letters, 2];
    builder.add({ ids, loss: Uint8Array.from(ids, (_, i) => (i > length + 1 ? 1 : 0)) });
  }
  return builder.build();
}

/** A trainer of the tiny model on echoes. */
export function tinyTrainer(backend: OrtBackend, options: Partial<TrainerOptions> = {}): Trainer {
  const sequence = 32;
  return new Trainer({
    backend,
    config: tinyConfig,
    initialise: fromScratch(tinyConfig, 1),
    phases: ['short', 'long'].map((name, i) => ({
      name,
      share: 0.5,
      sources: [{ name, weight: 1, pieces: piecesOf(echoSource(name, 200, i), sequence) }],
    })),
    sequence,
    batch: 4,
    accumulate: 2,
    lr: 1e-2,
    optimizer: adamwDefaults,
    decayEmbedding: false,
    schedule: { ...scheduleDefaults, warmup: 0.05 },
    budget: { steps: 20 },
    seed: 3,
    ...options,
  });
}
