import { readFileSync } from 'node:fs';
import type { DecoderConfig } from '@edgedesk/models';
import { weightShapes } from '@edgedesk/models';
import type { Tensor } from '@edgedesk/tensor';
import { tensor } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { describe, expect, test } from 'vitest';
import { referenceConfigs, referenceWeight as weight } from '../../../models/src/decoder/reference.case.js';
import { buildTrainingGraph, gradientOf } from './training-graph.js';

interface Reference {
  readonly tokens: number[];
  readonly lossRows: number[];
  readonly lossWeights: number[];
  readonly models: Record<
    string,
    { loss: number; parameters: Record<string, [norm: number, probe: number]> }
  >;
}

/** Made by packages/models/src/decoder/fixtures/make-reference.py, which explains it. */
const reference = JSON.parse(
  readFileSync(new URL('fixtures/reference-gradients.json', import.meta.url), 'utf8'),
) as Reference;

async function step(config: DecoderConfig, chunk: number): Promise<Map<string, Float32Array>> {
  const { tokens, lossRows, lossWeights } = reference;
  // One unused row, as a bucket leaves: weight 0.
  const rows = [...lossRows, 0];
  const graph = buildTrainingGraph(config, {
    batch: 1,
    seq: tokens.length,
    lossRows: rows.length,
    mode: 'train',
    chunk,
  });
  const feeds: Record<string, Tensor> = {
    token_ids: tensor.i64(tokens, [tokens.length]),
    segment_ids: tensor.i64(
      tokens.map(() => 0),
      [1, tokens.length],
    ),
    loss_rows: tensor.i64(rows, [rows.length]),
    targets: tensor.i64(
      rows.map((r) => tokens[r + 1]!),
      [rows.length],
    ),
    loss_weights: tensor.f32([...lossWeights, 0], [rows.length, 1]),
  };
  const outputs: Record<string, Tensor> = { loss: tensor.zeros([]) };
  for (const [name, shape] of graph.parameters) {
    feeds[name] = tensor.f32(weight(name, shape), shape);
    outputs[gradientOf(name)] = tensor.zeros(shape);
  }
  const session = await nodeBackend().createSession(graph.model, { threads: 1 });
  await session.runInto(feeds, outputs);
  await session.release();
  return new Map(Object.entries(outputs).map(([name, t]) => [name, t.data as Float32Array]));
}

describe.each(Object.entries(referenceConfigs))('%s', (label, config) => {
  test.each([2, 64])(
    'loss and every gradient equal float64 autograd (head in chunks of %d)',
    async (chunk) => {
      const expected = reference.models[label]!;
      const results = await step(config, chunk);
      expect(results.get('loss')![0]).toBeCloseTo(expected.loss, 5);
      expect(Object.keys(expected.parameters).sort()).toEqual([...weightShapes(config).keys()].sort());
      for (const [name, [norm, probe]] of Object.entries(expected.parameters)) {
        const gradient = results.get(gradientOf(name))!;
        const direction = weight('probe', [gradient.length]);
        const along = gradient.reduce((sum, d, i) => sum + d * direction[i]!, 0);
        // Gradients of q and k are small differences of larger f32 numbers, hence the absolute part.
        expect(Math.abs(Math.hypot(...gradient) - norm), name).toBeLessThan(1e-4 * norm + 1e-5);
        expect(Math.abs(along - probe), name).toBeLessThan(2e-4 * norm + 1e-5);
      }
    },
  );
});
