import { describe, expect, it } from 'vitest';
import type { Choice } from './choose-under-budget.js';
import { chooseUnderBudget } from './choose-under-budget.js';

/** Repeatable numbers in [0, 1). */
function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** The least cost within the budget by trying everything; Infinity when nothing fits. */
function bruteForce(things: readonly (readonly Choice[])[], budget: number, size = 0, cost = 0): number {
  if (size > budget) return Infinity;
  const [first, ...rest] = things;
  if (first === undefined) return cost;
  return Math.min(...first.map((c) => bruteForce(rest, budget, size + c.size, cost + c.cost)));
}

function sumsOf(things: readonly (readonly Choice[])[], indices: readonly number[]): Choice {
  const chosen = indices.map((index, thing) => things[thing]![index]!);
  return {
    size: chosen.reduce((sum, c) => sum + c.size, 0),
    cost: chosen.reduce((sum, c) => sum + c.cost, 0),
  };
}

describe('choosing under a budget', () => {
  it('finds what trying everything finds, on 400 small problems', () => {
    for (let seed = 1; seed <= 400; seed++) {
      const random = uniform(seed);
      const things = Array.from({ length: 1 + Math.floor(random() * 6) }, () =>
        Array.from({ length: 1 + Math.floor(random() * 5) }, () => ({
          size: Math.floor(random() * 30),
          // Few different costs, so that ties occur; some costs fall with size as they do in earnest, others do not.
          cost: seed % 2 === 0 ? Math.floor(random() * 8) : random(),
        })),
      );
      const budget = Math.floor(random() * 30 * things.length);
      const best = bruteForce(things, budget);
      const found = chooseUnderBudget(things, budget);
      if (found === null) {
        expect(best, `seed ${seed}`).toBe(Infinity);
        continue;
      }
      expect(found.optimal).toBe(true);
      expect(found.cost, `seed ${seed}`).toBeCloseTo(best, 10);
      expect(found.size).toBeLessThanOrEqual(budget);
      expect(sumsOf(things, found.indices)).toEqual({ size: found.size, cost: found.cost });
      expect(found.lowerBound).toBeLessThanOrEqual(best + 1e-9);
    }
  });

  /** As many weights as SmolLM2-135M has, in its shapes, with costs that fall about fourfold a bit. */
  const random = uniform(7);
  const model = Array.from({ length: 30 }, () =>
    [576 * 576, 192 * 576, 192 * 576, 576 * 576, 1536 * 576, 1536 * 576, 576 * 1536].map((count) => {
      const sensitivity = 1e-8 * count * Math.exp(4 * random());
      return [2.25, 2.5, 4.125, 4.25, 4.5, 4.625, 8.125, 8.5].map((bits, i) => ({
        size: (count * bits) / 8,
        cost: sensitivity * 4 ** -bits * (1 + 0.3 * Math.cos(i)),
      }));
    }),
  ).flat();

  it.each([2.3, 3.1, 3.6, 4.2, 5, 7])('proves its answer for a whole model at %f bits', (bits) => {
    const weights = 30 * 3_538_944;
    const budget = (weights * bits) / 8;
    const found = chooseUnderBudget(model, budget)!;
    expect(found.optimal).toBe(true);
    expect(found.size).toBeLessThanOrEqual(budget);
    expect(found.cost).toBeGreaterThanOrEqual(found.lowerBound);
    // With hundreds of weights the relaxation is nearly exact.
    expect(found.cost).toBeLessThan(found.lowerBound * 1.01);
  });

  it('takes the cheapest of all where everything fits, and says where nothing does', () => {
    const found = chooseUnderBudget(model, 1e12)!;
    expect(found.cost).toBeCloseTo(
      model.reduce((sum, choices) => sum + Math.min(...choices.map((c) => c.cost)), 0),
      9,
    );
    expect(chooseUnderBudget(model, 1000)).toBeNull();
    expect(chooseUnderBudget([], 0)).toMatchObject({ indices: [], size: 0, cost: 0 });
  });
});
