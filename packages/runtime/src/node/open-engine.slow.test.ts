import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GenerateChunk } from '@edgedesk/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { int4, openHere, tinyConfig, writeArtefact } from '../artefact.case.js';
import { openEngine } from './open-engine.js';

type Artefact = Awaited<ReturnType<typeof writeArtefact>>;

async function tokensOf(chunks: AsyncIterable<GenerateChunk>): Promise<number[]> {
  const tokens: number[] = [];
  for await (const chunk of chunks) tokens.push(...chunk.tokenIds);
  return tokens;
}

const promptOf = (length: number, seed = 1) =>
  Array.from({ length }, (_, i) => 3 + ((i * i * 31 + i * 17 + seed * 101) % 300));
const greedy = { maxNewTokens: 40, ignoreEnd: true };

describe('an engine in a worker', () => {
  let artefact: Artefact;

  beforeAll(async () => {
    artefact = await writeArtefact({ formatOf: () => int4 });
  });
  afterAll(() => artefact.remove());

  it('says what the engine in this thread says, and scores alike', async () => {
    const here = await openHere(artefact.folder);
    const there = await openEngine(artefact.folder, { threads: 1 });
    expect(there.info).toEqual(here.info);
    const sampled = { ...greedy, temperature: 0.8, topP: 0.9, repetitionPenalty: 1.2, seed: 5 };
    for (const options of [greedy, sampled]) {
      expect(await tokensOf(there.generate(promptOf(30), options))).toEqual(
        await tokensOf(here.generate(promptOf(30), options)),
      );
    }
    const options = { start: 4, withRows: true };
    expect(await there.score(promptOf(30), options)).toEqual(await here.score(promptOf(30), options));
    await Promise.all([here.close(), there.close()]);
  });

  it('leaves the event loop free while it computes', async () => {
    const big = await writeArtefact({
      config: {
        hiddenSize: 512,
        intermediateSize: 1536,
        headCount: 8,
        kvHeadCount: 4,
        headDim: 64,
        layerCount: 4,
      },
      formatOf: () => int4,
    });
    const engine = await openEngine(big.folder, { threads: 1, chunkTokens: 32, promptPiece: 128 });
    let turns = 0;
    let speaking = true;
    const tick = () => {
      turns++;
      if (speaking) setImmediate(tick);
    };
    setImmediate(tick);
    let chunks = 0;
    for await (const chunk of engine.generate(promptOf(100), greedy)) if (chunk.tokenIds.length > 0) chunks++;
    speaking = false;
    // A loop that computes itself turns about once for each call into the model.
    expect(turns).toBeGreaterThan(10 * chunks);
    await engine.close();
    await big.remove();
  });

  it('does not grow over 200 replies', async () => {
    const engine = await openEngine(artefact.folder, { threads: 1, prefixCacheBytes: 2e6 });
    const speak = async (from: number, to: number) => {
      for (let i = from; i < to; i++) await tokensOf(engine.generate(promptOf(20 + (i % 90), i), greedy));
    };
    await speak(0, 60);
    const before = process.memoryUsage.rss();
    await speak(60, 260);
    // Every leak of a session's outputs would be above 100 MB by now; the collector may wait for some tens.
    expect(process.memoryUsage.rss() - before).toBeLessThan(60e6);
    await engine.close();
  });

  it('can be closed in the middle of a reply', async () => {
    const engine = await openEngine(artefact.folder, { threads: 1 });
    const reply = engine.generate(promptOf(10), { ...greedy, maxNewTokens: 100 })[Symbol.asyncIterator]();
    await reply.next();
    const second = reply.next();
    await engine.close();
    await second.catch(() => undefined);
    await expect(
      reply.next().then((r) => (r.done ? Promise.reject(new Error('closed')) : r)),
    ).rejects.toThrow();
    await expect(engine.score(promptOf(9))).rejects.toThrow('closed');
  });
});

describe('an artefact that cannot be used', () => {
  let artefact: Artefact;

  beforeAll(async () => {
    artefact = await writeArtefact();
  });
  afterAll(() => artefact.remove());

  it('is refused with the file and what is wrong with it', async () => {
    const { folder } = artefact;
    const data = join(folder, 'onnx/model.onnx_data');
    await expect(openEngine(join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'CHECKPOINT' });
    await truncate(data, 1000);
    await expect(openEngine(folder)).rejects.toMatchObject({
      code: 'CHECKPOINT',
      where: expect.stringContaining('model.onnx_data') as string,
      message: expect.stringContaining('1000 bytes but the manifest says') as string,
    });
    await rm(data);
    await expect(openEngine(folder)).rejects.toThrow('the file is missing');
  });

  it('is refused when its manifest hides what is wrong', async () => {
    const other = await writeArtefact();
    const path = join(other.folder, 'edgedesk.json');
    const manifest = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    const write = (change: object) => writeFile(path, JSON.stringify({ ...manifest, ...change }));
    await write({ config: { ...tinyConfig, layerCount: 5 } });
    await expect(openEngine(other.folder)).rejects.toThrow('the graph has no input "past_key_values.3.key"');
    await write({ config: { ...tinyConfig, vocabSize: 100 } });
    await expect(openEngine(other.folder)).rejects.toThrow('vocabulary of 100');
    // Weights cut short, with a manifest that agrees: the graph says how long they are.
    const data = join(other.folder, 'onnx/model.onnx_data');
    await truncate(data, 1000);
    const files = (manifest['files'] as { path: string; sizeBytes: number }[]).map((f) =>
      f.path.endsWith('_data') ? { ...f, sizeBytes: 1000 } : f,
    );
    await write({ files });
    await expect(openEngine(other.folder)).rejects.toMatchObject({
      code: 'CHECKPOINT',
      where: expect.stringContaining('model.onnx_data') as string,
      message: expect.stringMatching(/has 1000 bytes but the model's weights take \d{5,}/) as string,
    });
    await other.remove();
  });
});
