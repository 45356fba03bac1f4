import { DataError, RuntimeFailure } from '@edgedesk/tensor';
import type { GenerateChunk } from '@edgedesk/runtime';
import { describe, expect, it } from 'vitest';
import { speedSchema } from '../report/schema.js';
import { BigramEngine } from '../testing/bigram-engine.case.js';
import { sampleCorpus } from '../testing/sample-rows.case.js';
import { measureSpeed } from './measure-speed.js';

const corpus = sampleCorpus();

describe('measureSpeed', () => {
  it('times prompts that differ from run to run and closes the engine', async () => {
    const engine = new BigramEngine(corpus);
    const prompts = new Set<string>();
    let closed = false;
    const generate = engine.generate.bind(engine);
    engine.generate = (prompt, options) => {
      prompts.add(prompt.join(' '));
      expect(prompt).toHaveLength(32);
      return generate(prompt, options);
    };
    engine.close = () => {
      closed = true;
      return Promise.resolve();
    };
    const open = () => Promise.resolve(engine);
    const speed = await measureSpeed({ openEngine: open, promptTokens: 32, newTokens: 8, repeats: 3 });
    // The bigram engine reports 1 ms to the first token and 1 ms a token.
    expect(speedSchema.parse(speed)).toMatchObject({ ttftMs: 1, prefillTokensPerSecond: 32_000 });
    expect(prompts.size).toBe(4);
    expect(closed).toBe(true);
  });

  it('refuses what the context cannot hold and a model that says nothing', async () => {
    const small = new BigramEngine(corpus, { contextLength: 40 });
    await expect(measureSpeed({ openEngine: () => Promise.resolve(small) })).rejects.toThrow(DataError);
    const mute = new BigramEngine(corpus);
    mute.generate = async function* (): AsyncGenerator<GenerateChunk> {
      const finish = { promptTokens: 8, cachedTokens: 0, newTokens: 0, timeToFirstTokenMs: 1, decodeMs: 0 };
      yield { text: '', tokenIds: [], finish: { reason: 'stop', ...finish } };
    };
    await expect(measureSpeed({ openEngine: () => Promise.resolve(mute), promptTokens: 8 })).rejects.toThrow(
      RuntimeFailure,
    );
  });
});
