import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { backendExpectation, exerciseBackend } from '../backend.case.js';
import { tensor } from '../backend.js';
import { RuntimeFailure } from '../errors.js';
import { Graph } from '../graph/graph.js';
import { neg } from '../graph/operators.js';
import { encodeModel } from '../onnx/encode.js';
import { nodeBackend } from './backend.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'edgedesk-backend-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('answers the backend contract', async () => {
  const answer = await exerciseBackend(nodeBackend(), async (name, bytes) => {
    await writeFile(path.join(folder, name), bytes);
    return folder;
  });
  expect(answer).toEqual(backendExpectation);
});

test('writes megabytes of outputs in place without growing', async () => {
  const count = 1 << 20;
  const g = new Graph();
  g.output(neg(g, g.input('x', 'f32', [count])), 'y');
  const session = await nodeBackend().createSession(encodeModel(g, { inPlaceOutputs: true }), { threads: 1 });
  const feeds = { x: tensor.f32(new Float32Array(count).fill(2), [count]) };
  const outputs = { y: tensor.zeros([count]) };
  for (let i = 0; i < 20; i++) await session.runInto(feeds, outputs);
  const before = process.memoryUsage();
  for (let i = 0; i < 200; i++) await session.runInto(feeds, outputs);
  const after = process.memoryUsage();
  expect(outputs.y.data[count - 1]).toBe(-2);
  // 200 copies would be 800 MB.
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(8e6);
  expect(after.rss - before.rss).toBeLessThan(100e6);
  await session.release();
});

test.each([
  ['a model that is no ONNX', new Uint8Array([1, 2, 3]), {}],
  [
    'external data in memory',
    encodeModel(
      (() => {
        const g = new Graph();
        g.output(neg(g, g.input('x', 'f32', [1])), 'y');
        return g;
      })(),
    ),
    { externalData: new Map() },
  ],
])('refuses %s with a RuntimeFailure', async (_, model, options) => {
  await expect(nodeBackend().createSession(model, options)).rejects.toThrow(RuntimeFailure);
});
