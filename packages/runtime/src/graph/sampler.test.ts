import { create, toBinary } from '@bufbuild/protobuf';
import { type DType, microsoftDomain, onnx, type Session, tensor, valueInfo } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomNumbers } from '../artefact.case.js';
import { uniformStream } from '../sampling/random.js';
import { checkSampling, type Sampling, samplingFeeds } from '../sampling/sampling.js';
import { Constants, NodeList } from './node-list.js';
import { samplerName, writePicks } from './sampler.js';

// More than `candidateGuess`, so that top-p sometimes has to sort everything.
const vocab = 1000;

let session: Session;

beforeAll(async () => {
  const list = new NodeList('sampler', new Constants());
  const [token] = writePicks(list, 'logits', 'seen', 'iteration', vocab);
  list.add('Identity', [token], { outputs: ['token'] });
  const kinds: Record<string, [DType, (number | string)[]]> = {
    logits: ['f32', [1, vocab]],
    iteration: ['i64', []],
    seen: ['bool', [vocab]],
    [samplerName.greedy]: ['bool', []],
    [samplerName.ranked]: ['bool', []],
    [samplerName.whole]: ['bool', []],
    [samplerName.candidates]: ['i64', [1]],
    [samplerName.temperature]: ['f32', []],
    [samplerName.topP]: ['f32', []],
    [samplerName.minP]: ['f32', []],
    [samplerName.penalty]: ['f32', []],
    [samplerName.uniforms]: ['f32', ['n']],
  };
  const inputs = Object.entries(kinds).map(([name, [dtype, shape]]) => valueInfo(name, dtype, shape));
  const graph = list.graph(inputs, [valueInfo('token', 'i64', [1])], list.constants.tensors);
  const model = create(onnx.ModelProtoSchema, {
    irVersion: 10n,
    opsetImport: [
      { domain: '', version: 21n },
      { domain: microsoftDomain, version: 1n },
    ],
    graph,
  });
  session = await nodeBackend().createSession(toBinary(onnx.ModelProtoSchema, model), { threads: 1 });
});
afterAll(() => session.release());

async function sample(logits: Float32Array, sampling: Sampling, seen: number[], u: number): Promise<number> {
  const out = await session.run({
    logits: tensor.f32(logits, [1, vocab]),
    iteration: tensor.i64([0], []),
    ...samplingFeeds(sampling, seen, Float32Array.of(u), vocab),
  });
  return Number(out['token']!.data[0]);
}

/** The same choice, in float64 and by the book: a token's probability is zeroed or kept, then the CDF is inverted. */
function reference(logits: Float32Array, sampling: Sampling, seen: number[], u: number) {
  const { temperature, topK, topP, minP, repetitionPenalty } = sampling;
  const context = new Set(seen);
  const x = Array.from(logits, (l, i) => {
    const damped = l > 0 ? l / repetitionPenalty : l * repetitionPenalty;
    return (context.has(i) ? damped : l) / temperature;
  });
  let order = x.map((_, i) => i);
  const ranked = topK > 0 || topP < 1;
  if (ranked) order.sort((a, b) => x[b]! - x[a]! || a - b);
  if (topK > 0) order = order.slice(0, topK);
  const peak = Math.max(...x);
  const odds = order.map((i) => Math.exp(x[i]! - peak));
  const total = odds.reduce((a, b) => a + b, 0);
  let before = 0;
  const weights = odds.map((o) => {
    const p = o / total;
    const kept = (!ranked || before < topP) && o >= minP;
    before += p;
    return kept ? o : 0;
  });
  const mass = weights.reduce((a, b) => a + b, 0);
  let sum = 0;
  let chosen = -1;
  // Near a border between two tokens f32 and f64 may rightly differ.
  let margin = Infinity;
  for (const [j, w] of weights.entries()) {
    margin = Math.min(margin, Math.abs(sum - u * mass) / mass);
    sum += w;
    if (chosen < 0 && w > 0 && sum > u * mass) chosen = order[j]!;
  }
  const kept = new Set(order.filter((_, j) => weights[j]! > 0));
  return { chosen, margin, kept };
}

const settings = {
  temperature: { temperature: 0.7 },
  'top-k': { temperature: 1, topK: 20 },
  'top-k of one': { temperature: 1.3, topK: 1 },
  'top-k beyond the vocabulary': { temperature: 1, topK: 5000 },
  'top-p': { temperature: 1, topP: 0.9 },
  'top-p over nearly everything': { temperature: 3, topP: 0.999 },
  'min-p': { temperature: 1, minP: 0.1 },
  'repetition penalty': { temperature: 1, repetitionPenalty: 1.4 },
  everything: { temperature: 0.9, topK: 50, topP: 0.8, minP: 0.02, repetitionPenalty: 1.2 },
};

describe('the sampler in the graph', () => {
  it.each(Object.entries(settings))('draws what a plain implementation draws: %s', async (_, options) => {
    const sampling = checkSampling({ ...options, seed: 1 });
    const random = randomNumbers(99);
    const uniform = uniformStream(5);
    let compared = 0;
    for (let round = 0; round < 150; round++) {
      const spread = 1 + 8 * random();
      const logits = Float32Array.from(
        { length: vocab },
        () => spread * (random() + random() + random() - 1.5),
      );
      const seen = Array.from({ length: 300 }, () => Math.floor(random() * vocab));
      const u = uniform();
      const { chosen, margin, kept } = reference(logits, sampling, seen, u);
      const token = await sample(logits, sampling, seen, u);
      expect(kept.has(token) || margin < 1e-5).toBe(true);
      if (margin < 1e-5) continue;
      expect(token).toBe(chosen);
      compared++;
    }
    expect(compared).toBeGreaterThan(140);
  });

  it('is greedy at temperature 0, and damps repetition there too', async () => {
    const logits = Float32Array.from({ length: vocab }, (_, i) => Math.sin(i));
    logits[500] = 3;
    logits[600] = 2.5;
    expect(await sample(logits, checkSampling({ seed: 1 }), [500], 0.9)).toBe(500);
    expect(await sample(logits, checkSampling({ seed: 1, repetitionPenalty: 1.5 }), [500], 0.9)).toBe(600);
  });

  it('never draws a token that was filtered, whatever the number', async () => {
    const logits = new Float32Array(vocab).fill(-30);
    logits[3] = 2;
    logits[7] = 2;
    for (const options of [{ minP: 0.5 }, { topP: 0.9 }, { topK: 2 }]) {
      const sampling = checkSampling({ temperature: 1, seed: 1, ...options });
      expect([3, 7]).toContain(await sample(logits, sampling, [], 0));
      expect([3, 7]).toContain(await sample(logits, sampling, [], 1 - 2 ** -23));
    }
  });

  it('draws in proportion to the probabilities', async () => {
    const logits = new Float32Array(vocab).fill(-Infinity);
    const shares = [0.5, 0.3, 0.15, 0.05];
    shares.forEach((p, i) => (logits[i * 100] = Math.log(p)));
    const uniform = uniformStream(11);
    const counts = new Map<number, number>();
    const draws = 3000;
    for (let i = 0; i < draws; i++) {
      const token = await sample(logits, checkSampling({ temperature: 1, seed: 1 }), [], uniform());
      counts.set(token, (counts.get(token) ?? 0) + 1);
    }
    // Four standard deviations.
    shares.forEach((p, i) => {
      const found = counts.get(i * 100) ?? 0;
      expect(Math.abs(found / draws - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / draws));
    });
    expect([...counts.values()].reduce((a, b) => a + b, 0)).toBe(draws);
  });
});
