import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { RuntimeFailure } from '@edgedesk/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { speedSchema } from '../report/schema.js';
import { measureSpeedInChild } from './speed-in-child.js';

/** An engine a child can import: it holds `megabytes` of memory and counts upwards. */
const engineModule = `
export async function openCounter(megabytes) {
  const weights = new Uint8Array(megabytes * 1e6).fill(1);
  return {
    info: { name: 'counter', vocabSize: 10, contextLength: 4096, layerCount: 1, parameters: weights.length, sizeBytes: weights.length, bitsPerWeight: 8 },
    encode: (text) => Array.from(text, (letter) => letter.charCodeAt(0) % 10),
    async *generate(prompt, { maxNewTokens }) {
      yield { text: '', tokenIds: [], finish: { reason: 'length', promptTokens: prompt.length, cachedTokens: 0, newTokens: maxNewTokens, timeToFirstTokenMs: 2, decodeMs: maxNewTokens - 1 } };
    },
    close: async () => {},
  };
}
export const crash = () => process.exit(7);
`;
const script = new URL('../../dist/node/speed-child.js', import.meta.url);

describe.skipIf(!existsSync(script))('measureSpeedInChild (skipped before `npm run build`)', () => {
  let folder: string;
  let module: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'edgedesk-speed-'));
    const path = join(folder, 'counter.mjs');
    await writeFile(path, engineModule);
    module = pathToFileURL(path).href;
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("measures the child's memory, not the parent's", async () => {
    const ballast = new Uint8Array(400e6).fill(1);
    const progress: number[] = [];
    const opener = { module, name: 'openCounter', args: [100] };
    const onProgress = (done: number) => progress.push(done);
    const speed = await measureSpeedInChild({ opener, repeats: 2, newTokens: 9, onProgress, script });
    expect(speedSchema.parse(speed)).toMatchObject({ ttftMs: 2, decodeTokensPerSecond: 1000, repeats: 2 });
    expect(speed.peakRssBytes).toBeGreaterThan(100e6);
    expect(speed.peakRssBytes).toBeLessThan(ballast.length);
    expect(progress).toEqual([1, 2, 3]);
  });

  it('says why a child failed and stops it when told', async () => {
    const measure = (name: string, signal?: AbortSignal) =>
      measureSpeedInChild({
        opener: { module, name, args: [1] },
        script,
        ...(signal === undefined ? {} : { signal }),
      });
    await expect(measure('none')).rejects.toThrow('exports no none');
    await expect(measure('crash')).rejects.toThrow(RuntimeFailure);
    const controller = new AbortController();
    const stopped = measure('openCounter', controller.signal);
    controller.abort(new Error('enough'));
    await expect(stopped).rejects.toThrow('enough');
  });
});
