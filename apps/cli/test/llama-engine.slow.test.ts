import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyRecipe, modelFromWeights } from '@edgedesk/compress';
import { compress } from '@edgedesk/compress/node';
import { type DecoderWeights, type NBitLinear, openGguf, weightName, writeGguf } from '@edgedesk/models';
import { type CheckpointOnDisk, openCheckpoint } from '@edgedesk/models/node';
import type { Engine } from '@edgedesk/runtime';
import { openEngine, openLlamaEngine } from '@edgedesk/runtime/node';
import { fillFileAtomic, openFile } from '@edgedesk/tensor/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from './run-cli.js';
import { tinyConfig, writeTinyCheckpoint } from './tiny-checkpoint.js';

let root: string;
let base: CheckpointOnDisk;
const at = (name: string): string => join(root, name);
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'edgedesk-llama-'));
  await writeTinyCheckpoint(at('base'), { ...tinyConfig, eosTokenIds: [] });
  base = await openCheckpoint(at('base'));
});
afterAll(async () => {
  await base.weights.close();
  await rm(root, { recursive: true });
});

const model = () => modelFromWeights('tiny', base.config, base.weights);
const rounded = (step: object): Promise<DecoderWeights> =>
  applyRecipe(model(), [{ pass: 'round-to-nearest', ...step }]);

/** Scales of seven significant bits: times any zero point they fit into the float16 that Q4_1 keeps a minimum in. */
async function coarse(weights: DecoderWeights): Promise<DecoderWeights> {
  const coarsened = (scale: number): number => {
    const unit = 2 ** (Math.floor(Math.log2(scale)) - 6);
    return Math.round(scale / unit) * unit;
  };
  const linears = [...weights.linears].map(([name, stored]) => {
    const read = async (): Promise<NBitLinear> => {
      const linear = (await stored.read()) as NBitLinear;
      return { ...linear, scales: linear.scales.map(coarsened) };
    };
    return [name, { ...stored, read }] as const;
  });
  return { ...weights, linears: new Map(linears) };
}

async function mixed(): Promise<DecoderWeights> {
  const [four, eight, whole] = [
    await rounded({ bits: 4, embeddingBits: 8 }),
    await rounded({ bits: 8 }),
    await applyRecipe(model(), [{ pass: 'cast', storage: 'f16' }]),
  ];
  const linears = new Map(four.linears);
  for (const role of ['v', 'down'] as const) {
    linears.set(weightName.linear(0, role), eight.linears.get(weightName.linear(0, role))!);
  }
  linears.set(weightName.linear(1, 'o'), whole.linears.get(weightName.linear(1, 'o'))!);
  return { ...four, linears };
}

interface Case {
  readonly types: readonly string[];
  make(): Promise<DecoderWeights>;
  /** How far ggml's logits may be off: it rounds activations to 8 bits where weights are quantized. */
  readonly tolerance: number;
}

const cases: Record<string, Case> = {
  F32: { types: ['F32'], make: () => Promise.resolve(model()), tolerance: 0.01 },
  F16: {
    types: ['F16'],
    make: () => applyRecipe(model(), [{ pass: 'cast', storage: 'f16' }]),
    tolerance: 0.02,
  },
  Q8_0: { types: ['Q8_0'], make: () => rounded({ bits: 8 }), tolerance: 0.1 },
  Q4_0: { types: ['Q4_0'], make: () => rounded({ bits: 4, embeddingBits: 4 }), tolerance: 0.1 },
  'Q4_0 with groups of 64': {
    types: ['Q4_0'],
    make: () => rounded({ bits: 4, embeddingBits: 4, groupSize: 64 }),
    tolerance: 0.1,
  },
  'Q4_0 from 3 bits': { types: ['Q4_0'], make: () => rounded({ bits: 3, embeddingBits: 3 }), tolerance: 0.1 },
  Q4_1: {
    types: ['Q4_1'],
    make: async () => coarse(await rounded({ bits: 4, embeddingBits: 4, asymmetric: true })),
    tolerance: 0.1,
  },
  Q5_0: {
    types: ['Q5_0'],
    make: () => rounded({ bits: 4, embeddingBits: 4, asymmetric: true }),
    tolerance: 0.1,
  },
  mixed: { types: ['Q8_0', 'Q4_0', 'F16'], make: mixed, tolerance: 0.1 },
};

const prompts = ['Where is my order?', '我的订单在哪里？', 'Your order is on its way. Where', 'way way 您的'];
const newTokens = 40;

async function greedy(engine: Engine, prompt: readonly number[]): Promise<number[]> {
  const tokens: number[] = [];
  for await (const chunk of engine.generate(prompt, { maxNewTokens: newTokens, ignoreEnd: true })) {
    tokens.push(...chunk.tokenIds);
  }
  return tokens;
}

describe.each(Object.entries(cases))('GGUF of %s in llama.cpp', (name, { types, make, tolerance }) => {
  it('says what our engine says with the dequantized weights', async () => {
    const path = at(`${name}.gguf`);
    const weights = await make();
    const { tokenizerFiles } = base;
    await fillFileAtomic(path, (file) =>
      writeGguf({
        name,
        weights,
        tokenizerFiles,
        file,
        asymmetricType: name === 'Q4_1' ? 'Q4_1' : 'Q5_0',
      }),
    );
    const written = await openGguf(await openFile(path));
    const matrices = [...written.weights.tensors.values()].filter(({ shape }) => shape.length === 2);
    expect(new Set(matrices.map(({ encoding }) => encoding))).toEqual(new Set(types));
    await written.weights.close();

    const dense = at(`${name}-f32`);
    await compress({ source: path, outDir: dense, bits: 32 });
    const ours = await openEngine(dense, { threads: 1 });
    const llama = await openLlamaEngine(path, { threads: 1 });
    try {
      let sameTokens = 0;
      for (const text of prompts) {
        const prompt = llama.encodeChat([{ role: 'user', content: text }], { addGenerationPrompt: true });
        expect(prompt).toEqual(
          ours.encodeChat([{ role: 'user', content: text }], { addGenerationPrompt: true }),
        );
        const [expected, found] = [await greedy(ours, prompt), await greedy(llama, prompt)];
        const whole = [...prompt, ...expected];
        const { rows } = await ours.score(whole, { withRows: true });
        const theirs = await llama.score(whole, { withRows: true });
        const vocab = ours.info.vocabSize;
        // Where two tokens are nearly equal, either may come.
        const clear = (position: number): boolean => {
          const row = [...rows!.subarray((position - 1) * vocab, position * vocab)].sort((a, b) => b - a);
          return row[0]! - row[1]! > 2 * tolerance;
        };
        expect(rows!.every((x, i) => Math.abs(x - theirs.rows![i]!) < tolerance)).toBe(true);
        for (let i = 0; i < newTokens; i++) {
          if (found[i] !== expected[i]) {
            expect(clear(prompt.length + i), `token ${i} after ${text}`).toBe(false);
            break;
          }
          sameTokens++;
        }
      }
      expect(sameTokens).toBeGreaterThan(prompts.length * 4);
    } finally {
      await llama.close();
      await ours.close();
    }
  });
});

describe('--engine llama.cpp', () => {
  it('chats with an artefact, a checkpoint and a GGUF file', async () => {
    await compress({ source: at('base'), outDir: at('int4'), bits: 4 });
    const replies = [];
    for (const place of ['int4', 'base', 'F32.gguf']) {
      const args = ['chat', at(place), '--engine', 'llama.cpp', '--new', '8', '--json'];
      const { code, stdout, stderr } = await runCli(args, 'Where is my order?\n');
      expect([code, stderr.includes('Error')]).toEqual([0, false]);
      replies.push(JSON.parse(stdout) as object);
    }
    expect(replies[1]).toEqual(replies[2]);
  });

  it('is compared with the other by bench', async () => {
    const json = at('speed.json');
    const sizes = ['--prompt', '16', '--new', '4', '--repeats', '1', '--json', json];
    const { code } = await runCli(['bench', at('int4'), '--engine', 'onnxruntime', 'llama.cpp', ...sizes]);
    expect(code).toBe(0);
    const { engines } = JSON.parse(await readFile(json, 'utf8')) as {
      engines: { engine: string; parameters: number; speed: { decodeTokensPerSecond: number } }[];
    };
    expect(engines.map(({ engine }) => engine)).toEqual(['onnxruntime', 'llama.cpp']);
    expect(engines[0]!.parameters).toBe(engines[1]!.parameters);
    for (const { speed } of engines) expect(speed.decodeTokensPerSecond).toBeGreaterThan(0);
  });
});
