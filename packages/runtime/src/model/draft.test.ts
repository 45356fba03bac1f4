import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { onnx } from '@edgedesk/tensor';
import { nodeBackend, openFolder } from '@edgedesk/tensor/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dense, int4, randomNumbers, tinyConfig, writeArtefact } from '../artefact.case.js';
import { uniformStream } from '../sampling/random.js';
import { checkSampling, type Sampling } from '../sampling/sampling.js';
import { loadTokenModel } from './ort-token-model.js';
import type { Sequence, TokenModel } from './token-model.js';

/** Beyond the border between two stretches of rows, whatever the prompt. */
const replyLength = 80;
const random = randomNumbers(11);
const below = (n: number) => Math.floor(random() * n);

const choices: Record<string, Sampling> = {
  'the likeliest token': checkSampling({ seed: 0 }),
  'top-k, top-p and min-p': checkSampling({ temperature: 0.9, topK: 40, topP: 0.95, minP: 0.01, seed: 0 }),
  'a repetition penalty': checkSampling({ temperature: 1.2, repetitionPenalty: 1.3, seed: 0 }),
};

/** As `compress` writes it. With f32 activations ONNX Runtime's kernels for one row and for many round differently. */
async function quantizeActivations(path: string): Promise<void> {
  const model = fromBinary(onnx.ModelProtoSchema, await readFile(path));
  for (const node of model.graph!.node) {
    for (const attribute of node.attribute) if (attribute.name === 'accuracy_level') attribute.i = 4n;
  }
  await writeFile(path, toBinary(onnx.ModelProtoSchema, model));
}

describe.each(Object.entries({ 'full precision': dense, int4 }))('a model in %s', (_, format) => {
  let artefact: Awaited<ReturnType<typeof writeArtefact>>;
  let model: TokenModel;

  beforeAll(async () => {
    artefact = await writeArtefact({ formatOf: () => format });
    await quantizeActivations(join(artefact.folder, 'onnx/model.onnx'));
    model = await loadTokenModel(
      {
        store: openFolder(artefact.folder),
        backend: nodeBackend(),
        model: 'onnx/model.onnx',
        config: tinyConfig,
        externalData: join(artefact.folder, 'onnx'),
      },
      { threads: 1, prefixCacheBytes: 0 },
    );
  });
  afterAll(async () => {
    await model.release();
    await artefact.remove();
  });

  /** A reply whose calls are made as `call` says for the number of tokens there are. */
  async function reply(
    prompt: readonly number[],
    sampling: Sampling,
    call: (at: number) => { count: number; draft?: readonly number[] },
    endIds: readonly number[] = [],
  ): Promise<number[]> {
    const stream = uniformStream(5);
    const uniforms = Float32Array.from({ length: replyLength }, () => stream());
    const sequence = await model.begin(prompt, prompt.length + replyLength);
    let ids = prompt.slice(sequence.cachedTokens);
    const tokens: number[] = [];
    while (tokens.length < replyLength && !endIds.includes(tokens.at(-1) ?? -1)) {
      const asked = call(tokens.length);
      const count = Math.min(asked.count, replyLength - tokens.length);
      const draft = asked.draft?.slice(0, count - 1) ?? [];
      const decoding = {
        sampling,
        endIds,
        uniforms: uniforms.slice(tokens.length, tokens.length + count),
        draft,
      };
      const picked = await sequence.generate(ids, decoding);
      expect(picked.length).toBeGreaterThan(0);
      expect(picked.length).toBeLessThanOrEqual(count);
      tokens.push(...picked);
      ids = picked.slice(-1);
    }
    await sequence.end();
    return tokens;
  }

  it.each(Object.entries(choices))('picks the same by %s, drafted or not', async (_, sampling) => {
    for (const length of [1, 30, 71]) {
      const prompt = Array.from({ length }, () => 3 + below(300));
      const one = await reply(prompt, sampling, () => ({ count: 1 }));
      const drafted = (draft: readonly number[]) => ({ count: draft.length + 1, draft });
      const ways = [
        () => ({ count: 32 }),
        () => ({ count: 1 + below(20) }),
        (at: number) => drafted(one.slice(at, at + 1 + below(16))),
        (at: number) => drafted(one.slice(at, at + 12).map((token) => (below(6) === 0 ? 5 : token))),
        (at: number) => (below(2) === 0 ? { count: 1 + below(4) } : drafted([one[at]!, 5, 6])),
        () => drafted([1, 2, 3, 4]),
      ];
      for (const way of ways) expect(await reply(prompt, sampling, way)).toEqual(one);
      expect(new Set(one).size).toBeGreaterThan(1);
    }
  });

  it('stops at an end token inside a draft', async () => {
    const prompt = Array.from({ length: 20 }, () => 3 + below(300));
    const whole = await reply(prompt, choices['the likeliest token']!, () => ({ count: 1 }));
    const end = whole[40]!;
    const upToEnd = whole.slice(0, whole.indexOf(end) + 1);
    const drafts = (at: number) => ({ count: 11, draft: whole.slice(at, at + 10) });
    expect(await reply(prompt, choices['the likeliest token']!, drafts, [end])).toEqual(upToEnd);
  });

  it('computes the same numbers however the tokens before were read', async () => {
    const tokens = Array.from({ length: 140 }, () => 3 + below(300));
    const rest = tokens.slice(130);
    const rowsAfter = async (
      step: (sequence: Sequence, at: number) => Promise<number>,
    ): Promise<Float32Array> => {
      const sequence = await model.begin(tokens, tokens.length);
      for (let at = sequence.cachedTokens; at < 130;) at = await step(sequence, at);
      const { fullRows } = await sequence.score(rest, rest, true);
      await sequence.end();
      return fullRows;
    };
    const piece = (size: () => number) => async (sequence: Sequence, at: number) => {
      const end = Math.min(130, at + size());
      await sequence.read(tokens.slice(at, end));
      return end;
    };
    const whole = await rowsAfter(piece(() => 130));
    for (const size of [() => 1, () => 64, () => 1 + below(40)]) {
      expect(await rowsAfter(piece(size))).toEqual(whole);
    }
    // A generated token is not read before the next call, so any token will do as the prompt of a reply.
    const decoding = {
      sampling: choices['the likeliest token']!,
      endIds: [],
      uniforms: new Float32Array(1),
      draft: [],
    };
    const picked = async (sequence: Sequence, at: number) => {
      const end = Math.min(130, at + 1 + below(90));
      await sequence.generate(tokens.slice(at, end), decoding);
      return end;
    };
    expect(await rowsAfter(picked)).toEqual(whole);
  });
});
