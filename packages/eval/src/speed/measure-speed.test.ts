import { DataError } from '@edgedesk/tensor';
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

  it('refuses what the context cannot hold or nobody could time', async () => {
    const open = () => Promise.resolve(new BigramEngine(corpus, { contextLength: 40 }));
    await expect(measureSpeed({ openEngine: open })).rejects.toThrow('exceed the context');
    await expect(measureSpeed({ openEngine: open, promptTokens: 8, newTokens: 1 })).rejects.toThrow(
      DataError,
    );
  });
});
