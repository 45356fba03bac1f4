import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openFolder } from '@edgedesk/tensor/node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runAndKill } from '../../../tensor/src/node/killed-runs.case.js';
import type { MeteredProgram } from '../../../tensor/src/node/killed-runs.case.js';
import { tinyConfig } from '../model.case.js';
import { writeTinyBase } from './tiny-base.case.js';

/** Enough blocks and text that the sweep takes longer than loading the program. */
const config = { ...tinyConfig, hiddenSize: 128, headDim: 32, intermediateSize: 256, layerCount: 6 };
const calibrationTokens = 8192;

let root: string;
const inRoot = (name: string): string => join(root, name);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'edgedesk-killed-'));
  await writeTinyBase(root, config, 400);
});
afterAll(() => rm(root, { recursive: true }));

/** GPTQ with the built package in a process of its own, at its stages and, behind them, at the weights written. */
function compression(out: string): MeteredProgram {
  const script = `
    import { compress } from '@edgedesk/compress/node';
    const reach = (place) => process.stdout.write(place + '\\n');
    let block = -1;
    let stage = 0;
    await compress({
      source: ${JSON.stringify(inRoot('base'))}, bits: 4, method: 'gptq',
      calibration: { files: [${JSON.stringify(inRoot('chats.jsonl'))}], tokens: ${calibrationTokens} },
      outDir: ${JSON.stringify(inRoot(out))},
      onSweep: ({ done }) => {
        stage = done === block ? stage + 1 : 0;
        block = done;
        reach(10 * done + stage);
      },
      onProgress: ({ done }) => reach(1000 + done),
    });`;
  return { script, cwd: fileURLToPath(new URL('../..', import.meta.url)) };
}

it(
  'a sweep that is killed at ten random moments ends in the same artefact',
  { timeout: 900_000 },
  async () => {
    const { ends, places } = await runAndKill(compression('straight'), compression('broken'), 10);
    expect(ends, `killed at ${places.join(', ')}`).toEqual(new Array(10).fill('SIGKILL'));

    const [straight, broken] = [openFolder(inRoot('straight')), openFolder(inRoot('broken'))];
    const names = await straight.list();
    expect(await broken.list()).toEqual(names);
    for (const name of names) {
      const [expected, found] = await Promise.all(
        ['straight', 'broken'].map((folder) => readFile(join(inRoot(folder), name))),
      );
      expect(found!.equals(expected!), name).toBe(true);
    }
    const solved = (await readdir(root)).filter((name) => name.endsWith('.solved'));
    expect(solved).toEqual([]);
  },
);
