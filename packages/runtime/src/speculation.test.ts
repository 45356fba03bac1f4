import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dense, int4, openHere, writeArtefact } from './artefact.case.js';
import type { Engine, GenerateChunk, GenerateOptions } from './engine.js';
import { PlainStepper } from './plain.case.js';

async function collect(chunks: AsyncIterable<GenerateChunk>) {
  const all: GenerateChunk[] = [];
  for await (const chunk of chunks) all.push(chunk);
  const finish = all.at(-1)!.finish!;
  return {
    text: all.map((c) => c.text).join(''),
    tokens: all.flatMap((c) => c.tokenIds),
    reason: finish.reason,
    newTokens: finish.newTokens,
    finish,
    chunks: all,
  };
}

const promptOf = (length: number, seed = 1) =>
  Array.from({ length }, (_, i) => 3 + ((i * i * 31 + i * 17 + seed * 101) % 300));

const passages = [
  'Standard delivery costs $4.95. Orders of $49 or more ship free. Orders of $49 or more ship free.',
  '标准配送需要三个工作日，满99元包邮。满99元包邮，三个工作日内送达。我的订单在哪里？',
  'We refund within three working days. 三个工作日内退款。We refund within three working days.',
];

/** A model of random weights soon repeats itself, so drafts hold for a while and then fail. */
const variants = { 'full precision': dense, int4 };

describe.each(Object.entries(variants))('speculation, %s', (_, format) => {
  let artefact: Awaited<ReturnType<typeof writeArtefact>>;
  let engine: Engine;
  let plain: PlainStepper;

  beforeAll(async () => {
    artefact = await writeArtefact({ formatOf: () => format });
    engine = await openHere(artefact.folder, { promptPiece: 32 });
    plain = await PlainStepper.open(artefact.folder, artefact.config);
  });
  afterAll(async () => {
    await engine.close();
    await plain.release();
    await artefact.remove();
  });

  const prompts = () => [
    ...[1, 20, 64].flatMap((length) => [1, 2, 3].map((seed) => promptOf(length, seed))),
    ...passages.map((text) => engine.encode(text).slice(0, 90)),
    ...passages.map((text) => {
      const sentence = engine.encode(text).slice(0, 40);
      return [...sentence, 9, ...sentence.slice(0, 4)];
    }),
  ];
  const both = async (prompt: readonly number[], options: GenerateOptions) => {
    const [on, off] = [
      await collect(engine.generate(prompt, options)),
      await collect(engine.generate(prompt, { ...options, speculation: 'off' })),
    ];
    expect(off.finish.draftedTokens).toBe(0);
    return { on, off };
  };

  it('writes what the plain artefact does, one token at a time', async () => {
    let accepted = 0;
    let drafted = 0;
    for (const prompt of prompts()) {
      const { tokens, finish } = await collect(
        engine.generate(prompt, { maxNewTokens: 64, ignoreEnd: true }),
      );
      expect(tokens).toEqual(await plain.greedy(prompt, 64));
      accepted += finish.acceptedTokens!;
      drafted += finish.draftedTokens!;
    }
    // `draft.test.ts` has true and false drafts in all places.
    expect(accepted).toBeGreaterThan(0);
    expect(drafted).toBeGreaterThanOrEqual(accepted);
  });

  it('draws the same text from the same seed', async () => {
    const sampling = [
      { temperature: 0.3, seed: 4 },
      { temperature: 0.7, topK: 20, topP: 0.9, minP: 0.02, seed: 5 },
      { temperature: 0, repetitionPenalty: 1.05 },
      { temperature: 0.2, repetitionPenalty: 1.1, seed: 6 },
    ];
    for (const [i, prompt] of prompts().entries()) {
      const options = { ...sampling[i % sampling.length]!, maxNewTokens: 64, ignoreEnd: true };
      const { on, off } = await both(prompt, options);
      expect(on.tokens).toEqual(off.tokens);
      expect(on.text).toBe(off.text);
    }
  });

  it('ends at the same stop sequences and at the end of the context', async () => {
    for (const prompt of prompts().slice(10, 13)) {
      const options = { maxNewTokens: 500, ignoreEnd: true };
      const { on, off } = await both(prompt, options);
      expect(on.tokens).toEqual(off.tokens);
      expect(on).toMatchObject({ reason: 'length', newTokens: engine.info.contextLength - prompt.length });
      for (const [from, length] of [
        [11, 3],
        [60, 5],
      ] as const) {
        const stop = [off.text.slice(from, from + length)];
        if (stop[0] === '') continue;
        const cut = await both(prompt, { ...options, stop });
        expect(cut.on.text).toBe(cut.off.text);
        expect(cut.on).toMatchObject({ reason: 'stop', text: off.text.slice(0, off.text.indexOf(stop[0]!)) });
      }
    }
  });

  it('says the beginning of the same text when cancelled, and the next reply is not disturbed', async () => {
    const prompt = prompts().at(-1)!;
    const { tokens } = await collect(
      engine.generate(prompt, { maxNewTokens: 80, speculation: 'off', ignoreEnd: true }),
    );
    for (const chunks of [1, 2, 4, 7]) {
      const controller = new AbortController();
      const said: number[] = [];
      let heard = 0;
      for await (const chunk of engine.generate(prompt, {
        maxNewTokens: 80,
        ignoreEnd: true,
        signal: controller.signal,
      })) {
        said.push(...chunk.tokenIds);
        if (++heard === chunks) controller.abort();
      }
      expect(said).toEqual(tokens.slice(0, said.length));
      const again = await collect(engine.generate(prompt, { maxNewTokens: 80, ignoreEnd: true }));
      expect(again.tokens).toEqual(tokens);
    }
  });

  it('leaves the same keys and values behind for the next turn', async () => {
    for (const seed of [1, 2, 3]) {
      const conversation = async (speculation: 'auto' | 'off') => {
        const fresh = await openHere(artefact.folder);
        let context = [...promptOf(24, seed), ...promptOf(24, seed)];
        const replies: number[][] = [];
        for (let turn = 0; turn < 3; turn++) {
          const options = { maxNewTokens: 20, ignoreEnd: true, speculation };
          const { tokens, finish } = await collect(fresh.generate(context, options));
          if (turn > 0) expect(finish.cachedTokens).toBe(context.length - 5);
          replies.push(tokens);
          context = [...context, ...tokens, ...promptOf(4, seed + turn)];
        }
        const { logProbs } = await fresh.score(context);
        await fresh.close();
        return { replies, logProbs };
      };
      expect(await conversation('auto')).toEqual(await conversation('off'));
    }
  });

  it('keeps conversations apart that take turns', async () => {
    const some = prompts().slice(9, 13);
    const options = { maxNewTokens: 40, ignoreEnd: true };
    const alone: number[][] = [];
    for (const prompt of some) alone.push((await both(prompt, options)).off.tokens);
    const together = await Promise.all(some.map((prompt) => collect(engine.generate(prompt, options))));
    expect(together.map((reply) => reply.tokens)).toEqual(alone);
  });
});

it('ends at an end token that was drafted, and leaves it out', async () => {
  const format = { formatOf: () => int4 };
  const first = await writeArtefact(format);
  const e = await openHere(first.folder);
  const prompt = promptOf(20);
  const { tokens } = await collect(e.generate(prompt, { maxNewTokens: 80, ignoreEnd: true }));
  await e.close();
  await first.remove();
  for (const at of [12, 30, 45, 60]) {
    const end = tokens[at]!;
    const ending = await writeArtefact({ ...format, config: { eosTokenIds: [end] } });
    const other = await openHere(ending.folder);
    // The prompt says beforehand what the reply will be.
    const told = [...tokens.slice(0, 40), ...prompt];
    for (const ids of [prompt, told]) {
      const [on, off] = [
        await collect(other.generate(ids, { maxNewTokens: 80 })),
        await collect(other.generate(ids, { maxNewTokens: 80, speculation: 'off' })),
      ];
      expect(on.tokens).toEqual(off.tokens);
      expect(on).toMatchObject({ reason: off.reason, newTokens: off.newTokens, text: off.text });
      expect(on.tokens).not.toContain(end);
    }
    await other.close();
    await ending.remove();
  }
});
