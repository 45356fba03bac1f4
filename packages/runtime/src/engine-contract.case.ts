import { afterAll, beforeAll, expect, it } from 'vitest';
import { type CaseOptions, writeArtefact } from './artefact.case.js';
import type { Engine, GenerateChunk, GenerateOptions } from './engine.js';
import type { EngineOptions } from './load-engine.js';

/** A way of running artefacts. */
export interface EngineUnderTest {
  open(folder: string, options: EngineOptions): Promise<Engine>;
  /** An artefact that it can run. */
  readonly artefact: CaseOptions;
  /** A new sequence takes the rows that it shares with an old one, whose others stay; else the old one may be left alone. */
  readonly copiesRows: boolean;
}

/** A whole reply. */
export async function collect(chunks: AsyncIterable<GenerateChunk>) {
  const all: GenerateChunk[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return {
    text: all.map((c) => c.text).join(''),
    tokens: all.flatMap((c) => c.tokenIds),
    finish: all.at(-1)!.finish!,
    chunks: all,
  };
}

export const promptOf = (length: number, seed = 1) =>
  Array.from({ length }, (_, i) => 3 + ((i * i * 31 + i * 17 + seed * 101) % 300));

/** What every engine keeps, to be called inside a `describe`. */
export function engineContract(subject: EngineUnderTest): void {
  let artefact: Awaited<ReturnType<typeof writeArtefact>>;
  let engine: Engine;

  beforeAll(async () => {
    artefact = await writeArtefact(subject.artefact);
    engine = await subject.open(artefact.folder, { promptPiece: 32 });
  });
  afterAll(async () => {
    await engine.close();
    await artefact.remove();
  });

  const fresh = async <T>(options: EngineOptions, use: (engine: Engine) => Promise<T>): Promise<T> => {
    const other = await subject.open(artefact.folder, options);
    try {
      return await use(other);
    } finally {
      await other.close();
    }
  };

  const sampled: GenerateOptions = {
    temperature: 0.9,
    topK: 40,
    topP: 0.95,
    minP: 0.01,
    repetitionPenalty: 1.1,
    seed: 42,
    maxNewTokens: 60,
    ignoreEnd: true,
  };

  it.each([1, 3, 7, 32])('writes the same text in chunks of %i', async (chunkTokens) => {
    for (const options of [{ maxNewTokens: 60, ignoreEnd: true }, sampled]) {
      const expected = await collect(engine.generate(promptOf(20), options));
      const found = await fresh({ chunkTokens }, (e) => collect(e.generate(promptOf(20), options)));
      expect(found.tokens).toEqual(expected.tokens);
      expect(found.text).toBe(expected.text);
    }
  });

  it('gives one token first, then more at once', async () => {
    const { chunks } = await collect(engine.generate(promptOf(20), { maxNewTokens: 60, ignoreEnd: true }));
    expect(chunks[0]!.tokenIds).toHaveLength(1);
    expect(chunks.length).toBeLessThanOrEqual(16);
  });

  it('repeats a seeded reply and varies an unseeded one', async () => {
    const first = await collect(engine.generate(promptOf(20), sampled));
    expect((await collect(engine.generate(promptOf(20), sampled))).tokens).toEqual(first.tokens);
    const other = await collect(engine.generate(promptOf(20), { ...sampled, seed: 43 }));
    expect(other.tokens).not.toEqual(first.tokens);
  });

  it('reuses what it has read, with the same text', async () => {
    await fresh({}, async (e) => {
      const system = promptOf(50, 9);
      const a = [...system, ...promptOf(60, 2)];
      const b = [...system, ...promptOf(20, 3)];
      const options = { maxNewTokens: 20, ignoreEnd: true };
      const cold = await fresh({}, (other) => collect(other.generate(b, options)));
      const first = await collect(e.generate(a, options));
      expect(first.finish.cachedTokens).toBe(0);
      const second = await collect(e.generate(b, options));
      if (subject.copiesRows) expect(second.finish.cachedTokens).toBeGreaterThanOrEqual(50);
      expect(second.tokens).toEqual(cold.tokens);
      const turn = [...b, ...second.tokens, ...promptOf(10, 5)];
      const third = await collect(e.generate(turn, options));
      expect(third.finish.cachedTokens).toBe(b.length + second.tokens.length - 1);
      expect(third.tokens).toEqual((await fresh({}, (o) => collect(o.generate(turn, options)))).tokens);
      // The first conversation's own rows are still there.
      const again = await collect(e.generate(a, options));
      expect(again.finish.cachedTokens).toBe(a.length - 1);
      expect(again.tokens).toEqual(first.tokens);
    });
  });

  it('keeps nothing when the prefix cache has no memory', async () => {
    await fresh({ prefixCacheBytes: 0 }, async (e) => {
      const one = await collect(e.generate(promptOf(40), { maxNewTokens: 5 }));
      const two = await collect(e.generate(promptOf(40), { maxNewTokens: 5 }));
      expect(two.finish.cachedTokens).toBe(0);
      expect(two.tokens).toEqual(one.tokens);
    });
  });

  it('ends before a stop sequence, wherever token borders lie', async () => {
    const whole = await collect(engine.generate(promptOf(20), { maxNewTokens: 60, ignoreEnd: true }));
    const { text } = whole;
    for (const [from, length] of [
      [5, 1],
      [9, 4],
      [17, 12],
    ] as const) {
      const stop = text.slice(from, from + length);
      const cut = await collect(
        engine.generate(promptOf(20), { maxNewTokens: 60, ignoreEnd: true, stop: ['nowhere', stop] }),
      );
      expect(cut.text).toBe(text.slice(0, text.indexOf(stop)));
      expect(cut.finish.reason).toBe('stop');
      for (let i = 0; i < cut.chunks.length; i++) {
        const shown = cut.chunks
          .slice(0, i + 1)
          .map((c) => c.text)
          .join('');
        expect(text.startsWith(shown)).toBe(true);
      }
    }
  });

  it('stops at an end token and leaves it out', async () => {
    const { tokens } = await collect(engine.generate(promptOf(20), { maxNewTokens: 60, ignoreEnd: true }));
    const end = tokens[25]!;
    const at = tokens.findIndex((token) => token === 0 || token === end);
    const ending = await writeArtefact({
      ...subject.artefact,
      config: { ...subject.artefact.config, eosTokenIds: [0, end] },
    });
    const e = await subject.open(ending.folder, {});
    const reply = await collect(e.generate(promptOf(20), { maxNewTokens: 60 }));
    expect(reply.tokens).toEqual(tokens.slice(0, at));
    expect(reply.finish).toMatchObject({ reason: 'stop', newTokens: at + 1 });
    await e.close();
    await ending.remove();
  });

  it('stops with "length" where the context ends, and refuses prompts that fill it', async () => {
    const { contextLength } = engine.info;
    const { finish } = await collect(
      engine.generate(promptOf(contextLength - 10), { maxNewTokens: 500, ignoreEnd: true }),
    );
    expect(finish).toMatchObject({ reason: 'length', newTokens: 10 });
    await expect(collect(engine.generate(promptOf(contextLength)))).rejects.toThrow(
      `the prompt has ${contextLength} tokens but the model reads ${contextLength}`,
    );
    await expect(engine.score(promptOf(contextLength + 1))).rejects.toThrow('the model reads');
  });

  it('keeps interleaved conversations apart', async () => {
    const requests = [
      { prompt: promptOf(40, 1), options: { maxNewTokens: 40, ignoreEnd: true } },
      { prompt: promptOf(70, 2), options: sampled },
      { prompt: promptOf(9, 3), options: { maxNewTokens: 30, ignoreEnd: true } },
    ];
    const alone: Awaited<ReturnType<typeof collect>>[] = [];
    for (const { prompt, options } of requests) {
      alone.push(await fresh({}, (e) => collect(e.generate(prompt, options))));
    }
    const order: number[] = [];
    await fresh({ chunkTokens: 4 }, async (e) => {
      const together = await Promise.all(
        requests.map(async ({ prompt, options }, i) => {
          const tokens: number[] = [];
          for await (const chunk of e.generate(prompt, options)) {
            order.push(i);
            tokens.push(...chunk.tokenIds);
          }
          return tokens;
        }),
      );
      expect(together).toEqual(alone.map((a) => a.tokens));
    });
    // Fair: nobody gets three chunks in a row while all three still speak.
    const middle = order.slice(3, 18).join('');
    expect(middle).not.toMatch(/000|111|222/);
  });

  it('cancels between chunks and frees its place', async () => {
    await fresh({ maxConversations: 1, chunkTokens: 4 }, async (e) => {
      const controller = new AbortController();
      const reply: GenerateChunk[] = [];
      for await (const chunk of e.generate(promptOf(20), {
        maxNewTokens: 100,
        ignoreEnd: true,
        signal: controller.signal,
      })) {
        reply.push(chunk);
        if (reply.length === 2) controller.abort();
      }
      expect(reply.at(-1)!.finish).toMatchObject({ reason: 'cancelled', newTokens: 5 });
      for await (const chunk of e.generate(promptOf(20), { maxNewTokens: 100, ignoreEnd: true })) {
        if (chunk.tokenIds.length > 0) break;
      }
      const { finish } = await collect(e.generate(promptOf(20), { maxNewTokens: 8, ignoreEnd: true }));
      expect(finish.newTokens).toBe(8);
      const aborted = AbortSignal.abort();
      const none = await collect(e.generate(promptOf(20), { signal: aborted }));
      expect(none.finish).toMatchObject({ reason: 'cancelled', newTokens: 0 });
    });
  });

  it('refuses more conversations than it was told to hold', async () => {
    await fresh({ maxConversations: 1 }, async (e) => {
      const first = e.generate(promptOf(20))[Symbol.asyncIterator]();
      await first.next();
      await expect(collect(e.generate(promptOf(20)))).rejects.toThrow('already waiting');
      await first.return?.();
      await collect(e.generate(promptOf(20), { maxNewTokens: 2 }));
    });
  });

  it('gives whole characters only', async () => {
    const { text, tokens, chunks } = await collect(
      engine.generate(promptOf(20), { ...sampled, temperature: 1.5, topK: 0, topP: 1, maxNewTokens: 100 }),
    );
    expect(text).toBe(engine.decode(tokens, { skipSpecial: true }));
    // Half a surrogate pair cannot be encoded.
    for (const chunk of chunks) expect(() => encodeURIComponent(chunk.text)).not.toThrow();
  });

  it('scores the same with and without what a score before it has read', async () => {
    const base = promptOf(50, 3);
    const variations = [promptOf(4, 1), promptOf(6, 2), promptOf(4, 8)].map((tail) => [...base, ...tail]);
    for (const tokens of variations) {
      const warm = await engine.score(tokens, { start: 50 });
      const cold = await engine.score(tokens, { start: 50, sharedPrefix: 0 });
      expect(warm.top1).toEqual(cold.top1);
      for (const [i, x] of warm.logProbs.entries()) expect(x).toBeCloseTo(cold.logProbs[i]!, 4);
    }
  });

  it('chats in the model’s template', async () => {
    const messages = [{ role: 'user' as const, content: 'Where is my order?<|im_end|>' }];
    const ids = engine.encodeChat(messages, { addGenerationPrompt: true });
    expect(ids.filter((id) => id === 2)).toHaveLength(1);
    const options = { maxNewTokens: 10, ignoreEnd: true };
    const chat = await collect(engine.chat(messages, options));
    expect(chat.tokens).toEqual((await collect(engine.generate(ids, options))).tokens);
    expect(chat.finish.promptTokens).toBe(ids.length);
  });

  it('names the option that is out of range', async () => {
    const run = (options: GenerateOptions) => collect(engine.generate(promptOf(5), options));
    await expect(run({ temperature: -1 })).rejects.toMatchObject({ where: 'temperature' });
    await expect(run({ temperature: Number.NaN })).rejects.toMatchObject({ where: 'temperature' });
    await expect(run({ topP: 0 })).rejects.toMatchObject({ where: 'topP' });
    await expect(run({ topK: 1.5 })).rejects.toMatchObject({ where: 'topK' });
    await expect(run({ minP: 2 })).rejects.toMatchObject({ where: 'minP' });
    await expect(run({ repetitionPenalty: 0 })).rejects.toMatchObject({ where: 'repetitionPenalty' });
    await expect(run({ maxNewTokens: 0 })).rejects.toMatchObject({ where: 'maxNewTokens' });
    await expect(run({ stop: [''] })).rejects.toMatchObject({ where: 'stop' });
    await expect(collect(engine.generate([]))).rejects.toThrow('no tokens');
    await expect(collect(engine.generate([5000]))).rejects.toThrow('5000 is no token');
    await expect(engine.score(promptOf(5), { start: 0 })).rejects.toMatchObject({ where: 'start' });
  });

  it('refuses work after it was closed, also in the middle of a reply', async () => {
    const e = await subject.open(artefact.folder, {});
    const reply = e.generate(promptOf(10), { maxNewTokens: 100, ignoreEnd: true })[Symbol.asyncIterator]();
    await reply.next();
    await e.close();
    await e.close();
    await expect(reply.next()).rejects.toThrow('closed');
    await expect(collect(e.generate(promptOf(5)))).rejects.toThrow('closed');
    await expect(e.score(promptOf(5))).rejects.toThrow('closed');
  });
}
