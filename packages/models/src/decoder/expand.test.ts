import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { DecoderConfig } from '../config.js';
import { expandedLogits } from './expanded-logits.case.js';
import { referenceConfigs, referenceWeight } from './reference.case.js';

const reference = JSON.parse(
  readFileSync(new URL('fixtures/reference-logits.json', import.meta.url), 'utf8'),
) as { tokens: number[]; models: Record<string, number[][]> };

async function logitsOf(
  config: DecoderConfig,
  tokens: readonly number[],
  segments: readonly number[],
): Promise<number[][]> {
  const data = await expandedLogits(config, referenceWeight, tokens, segments);
  return tokens.map((_, t) => [...data.subarray(t * config.vocabSize, (t + 1) * config.vocabSize)]);
}

const worst = (a: readonly number[][], b: readonly number[][]): number =>
  Math.max(...a.flatMap((row, t) => row.map((x, i) => Math.abs(x - b[t]![i]!))));

describe.each(Object.entries(referenceConfigs))('%s', (label, config) => {
  test('logits equal those of transformers in float64', async () => {
    const { tokens, models } = reference;
    const logits = await logitsOf(
      config,
      tokens,
      tokens.map(() => 0),
    );
    // f32 sums of a few hundred products against f64.
    expect(worst(logits, models[label]!)).toBeLessThan(2e-5);
  });

  test('a second segment does not see the first', async () => {
    const { tokens } = reference;
    const changed = tokens.map((id, i) => (i < 5 ? (id + 1) % config.vocabSize : id));
    const segments = tokens.map((_, i) => (i < 5 ? 0 : 1));
    const [a, b] = [await logitsOf(config, tokens, segments), await logitsOf(config, changed, segments)];
    expect(worst(a.slice(5), b.slice(5))).toBe(0);
    expect(worst(a.slice(0, 5), b.slice(0, 5))).toBeGreaterThan(0.01);
  });
});
