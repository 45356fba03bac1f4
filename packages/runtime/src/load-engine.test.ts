import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { argmax, logSoftmax, PlainStepper } from './plain.case.js';
import { dense, int4, openHere, writeArtefact } from './artefact.case.js';
import type { Engine } from './engine.js';
import { collect, engineContract, promptOf } from './engine-contract.case.js';

const variants = {
  'full precision': {},
  'int4, packed': { formatOf: () => int4 },
  'untied head, biased q/k/v': {
    config: { tiedEmbedding: false, qkvBias: true, modelType: 'qwen2' as const },
  },
  'normed q/k, mixed precision': {
    config: { qkNorm: true, modelType: 'qwen3' as const },
    formatOf: (weight: string) => (weight.includes('v_proj') || weight.includes('down') ? dense : int4),
  },
  'local and global layers, output norms, GELU (Gemma 3)': {
    config: {
      modelType: 'gemma3_text' as const,
      qkNorm: true,
      ropeScaling: { kind: 'linear' as const, factor: 8 },
      local: { window: 7, layers: [true, true, false], ropeTheta: 100 },
      attentionScale: 0.2,
      embeddingScale: 1.5,
      activation: 'gelu' as const,
      outputNorms: true,
    },
  },
  'partly rotated heads, two sets of frequencies, a window (Phi-3)': {
    config: {
      modelType: 'phi3' as const,
      // The engine stays within the first context, where one set of frequencies holds.
      contextLength: 400,
      headDim: 32,
      rotaryDim: 16,
      ropeScaling: {
        kind: 'longrope' as const,
        shortFactors: [1, 1, 1, 1.1, 1.2, 1.4, 2, 3],
        longFactors: [1, 1.5, 2, 4, 7, 12, 20, 30],
        originalContext: 160,
        magnitude: 1.2,
      },
      local: { window: 40, layers: [true, true, true] },
    },
    formatOf: () => int4,
  },
  'one key/value head': { config: { kvHeadCount: 1, layerCount: 1 } },
};

describe.each(Object.entries(variants))('%s', (_, options) => {
  let artefact: Awaited<ReturnType<typeof writeArtefact>>;
  let plain: PlainStepper;
  let engine: Engine;

  beforeAll(async () => {
    artefact = await writeArtefact(options);
    plain = await PlainStepper.open(artefact.folder, artefact.config);
    engine = await openHere(artefact.folder, { promptPiece: 16 });
  });
  afterAll(async () => {
    await engine.close();
    await plain.release();
    await artefact.remove();
  });

  it('generates what the plain artefact does, one token at a time', async () => {
    for (const length of [1, 15, 16, 40]) {
      const expected = await plain.greedy(promptOf(length), 50);
      const { tokens, finish } = await collect(
        engine.generate(promptOf(length), { maxNewTokens: 50, ignoreEnd: true }),
      );
      expect(tokens).toEqual(expected);
      expect(finish).toMatchObject({ reason: 'length', promptTokens: length, newTokens: 50 });
      expect(new Set(expected).size).toBeGreaterThan(1);
    }
  });

  it('scores like float64 log-softmax over the plain logits', async () => {
    const tokens = promptOf(60, 4);
    plain.reset();
    const expected = (await plain.step(tokens)).map((row) => logSoftmax(row));
    for (const start of [1, 7, 59, 60]) {
      const { logProbs, top1, rows } = await engine.score(tokens, { start, withRows: true });
      expect(logProbs).toHaveLength(60 - start);
      for (let i = 0; i < logProbs.length; i++) {
        const row = expected[start + i - 1]!;
        // f32 attention sums in another order than GroupQueryAttention.
        expect(Math.abs(logProbs[i]! - row[tokens[start + i]!]!)).toBeLessThan(2e-4);
        expect(top1[i]).toBe(argmax(row));
        const { vocabSize } = engine.info;
        for (let v = 0; v < vocabSize; v++) {
          expect(Math.abs(rows![i * vocabSize + v]! - row[v]!)).toBeLessThan(2e-4);
        }
      }
    }
  });
});

describe('an engine', () => {
  engineContract({ open: openHere, artefact: { formatOf: () => int4 }, copiesRows: true });
});
