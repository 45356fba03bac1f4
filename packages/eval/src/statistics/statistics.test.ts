import { describe, expect, it } from 'vitest';
import { bootstrapInterval, quantile } from './bootstrap.js';
import { seededRandom } from './random.js';
import { spreadSample } from './sample.js';

describe('bootstrapInterval', () => {
  it('covers the true mean about as often as it says', () => {
    const random = seededRandom(7);
    const experiments = 300;
    let covered = 0;
    for (let e = 0; e < experiments; e++) {
      const values = Float64Array.from({ length: 60 }, () => random());
      const mean = (rows: Uint32Array) => rows.reduce((sum, i) => sum + values[i]!, 0) / rows.length;
      const [low, high] = bootstrapInterval(values.length, mean, { resamples: 400, seed: e })!;
      if (low <= 0.5 && 0.5 <= high) covered++;
    }
    // Three standard errors below 95 %, one percentile-interval bias below that.
    expect(covered / experiments).toBeGreaterThan(0.9);
    expect(covered / experiments).toBeLessThan(0.99);
  });

  it('repeats itself for a seed and gives up where rows decide nothing', () => {
    const first = (rows: Uint32Array) => rows[0]!;
    expect(bootstrapInterval(50, first, { seed: 3 })).toEqual(bootstrapInterval(50, first, { seed: 3 }));
    expect(bootstrapInterval(1, first)).toBeNull();
    expect(bootstrapInterval(9, () => NaN)).toBeNull();
  });

  it('interpolates quantiles', () => {
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    expect(quantile([1, 2, 3, 4], 1)).toBe(4);
  });
});

describe('spreadSample', () => {
  it('draws one row from each stretch, the same for a seed', () => {
    const sample = spreadSample(1003, 10, 5);
    expect(sample).toEqual(spreadSample(1003, 10, 5));
    expect(sample).not.toEqual(spreadSample(1003, 10, 6));
    sample.forEach((row, i) => {
      expect(row).toBeGreaterThanOrEqual(Math.floor((i * 1003) / 10));
      expect(row).toBeLessThan(Math.floor(((i + 1) * 1003) / 10));
    });
    expect(spreadSample(3, 10, 1)).toEqual([0, 1, 2]);
  });
});
