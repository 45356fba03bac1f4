import { weightShapes, type DecoderConfig } from '@edgedesk/models';
import { nodeBackend } from '@edgedesk/tensor/node';
import { describe, expect, it } from 'vitest';
import { tinyConfig } from '../../../models/src/decoder/decoder.case.js';
import { piecesOf } from '../data/pieces.js';
import { TokenSourceBuilder } from '../data/token-source.js';
import { permutation } from '../random/philox.js';
import { tinyTrainer } from '../trainer/tiny-run.case.js';
import { withCopyingHeads } from './copying-heads.js';
import { fromScratch, type Initialiser } from './initial-weights.js';

const config: DecoderConfig = {
  ...tinyConfig,
  vocabSize: 400,
  hiddenSize: 320,
  intermediateSize: 64,
  layerCount: 4,
  headDim: 80,
  contextLength: 128,
  ropeTheta: 500_000,
  tiedEmbedding: false,
};
const length = 24;

/** Different tokens in random order, `copies` times; the last time carries loss. */
function recital(copies: number) {
  const builder = new TokenSourceBuilder('recital', config.vocabSize);
  for (let d = 0; d < 8; d++) {
    const tokens = [...permutation(config.vocabSize, 7, d).subarray(0, length)];
    const ids = Array.from({ length: copies }, () => tokens).flat();
    builder.add({ ids, loss: Uint8Array.from(ids, (_, i) => Number(i > ids.length - length)) });
  }
  return builder.build();
}

/** Nats a token of the last copy, before any step. */
async function lossOf(initialise: Initialiser, copies: number): Promise<number> {
  const sequence = 2 * length;
  const trainer = tinyTrainer(nodeBackend(), { config, initialise, sequence, phases: phases(sequence) });
  await trainer.evaluate([
    { name: 'recital', rows: piecesOf(recital(copies), sequence).map((piece) => [piece]) },
  ]);
  return trainer.state.evaluations[0]!.sets.recital!;
}

const phases = (sequence: number) => [
  {
    name: 'recital',
    share: 1,
    sources: [{ name: 'recital', weight: 1, pieces: piecesOf(recital(1), sequence) }],
  },
];

describe('withCopyingHeads', () => {
  it('repeats what stood there before its first step, and is otherwise undecided', async () => {
    const uniform = Math.log(config.vocabSize);
    expect(await lossOf(fromScratch(config, 1), 2)).toBeGreaterThan(0.9 * uniform);
    expect(await lossOf(withCopyingHeads(config, 1), 2)).toBeLessThan(0.25 * uniform);
    expect(await lossOf(withCopyingHeads(config, 1), 1)).toBeLessThan(1.1 * uniform);
  });

  it('writes the same weights for the same seed, all finite', () => {
    const initialisers = [1, 1, 2].map((seed) => withCopyingHeads(config, seed));
    for (const [name, shape] of weightShapes(config)) {
      const [first, again, other] = initialisers.map((initialise) => {
        const out = new Float32Array(shape.reduce((a, b) => a * b, 1));
        initialise(name, shape, out);
        return out;
      });
      expect(
        again!.every((value, i) => value === first![i]),
        name,
      ).toBe(true);
      expect(first!.every(Number.isFinite), name).toBe(true);
      if (/embed|q_proj|gate/.test(name)) {
        expect(
          other!.some((value, i) => value !== first![i]),
          name,
        ).toBe(true);
      }
    }
  });

  it.each([
    ['tied', { tiedEmbedding: true }],
    ['q and k are normalized', { qkNorm: true }],
    ['one layer', { layerCount: 1 }],
    ['one head', { headCount: 1, kvHeadCount: 1 }],
    ['turn slowly', { headDim: 16 }],
  ])('refuses a shape without a place for the heads: %s', (reason, change) => {
    expect(() => withCopyingHeads({ ...config, ...change }, 1)).toThrow(reason);
  });
});
