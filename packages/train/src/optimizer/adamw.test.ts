import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import wabt from 'wabt';
import type { Shape } from '@edgedesk/tensor';
import { accumulateGradients, adamwDefaults, adamwStep, gradientNorm } from './adamw.js';
import { adamwWasmBase64 } from './adamw-wasm.js';
import { ParameterArena } from './arena.js';
import { decodeBase64 } from './kernels.js';

const shapes = new Map<string, Shape>([
  ['norm', [7]],
  ['matrix', [13, 9]],
  ['embedding', [50, 8]],
]);
const decays = (name: string, shape: Shape) => shape.length > 1 && name !== 'embedding';

/** A reproducible number in (-1, 1). */
function noise(i: number): number {
  const x = Math.sin(i * 12.9898 + 78.233) * 43758.5453;
  return 2 * (x - Math.floor(x)) - 1;
}

describe('adamw.wat', () => {
  it('is what adamw-wasm.ts was assembled from', async () => {
    const source = readFileSync(new URL('./adamw.wat', import.meta.url), 'utf8');
    const module = (await wabt()).parseWat('adamw.wat', source, { simd: true });
    expect(decodeBase64(adamwWasmBase64)).toEqual(new Uint8Array(module.toBinary({}).buffer));
  });
});

describe('adamwStep', () => {
  it('follows a float64 reference over many steps, with clipping, decay and averaging', () => {
    const arena = new ParameterArena(shapes, { accumulate: false, average: true, decays });
    const options = { ...adamwDefaults, clip: 3, weightDecay: 0.1, average: 0.8 };
    const state = [...shapes].flatMap(([name, shape]) => {
      const count = shape.reduce((a, b) => a * b, 1);
      return Array.from({ length: count }, (_, i) => ({
        name,
        i,
        decay: decays(name, shape),
        theta: noise(i),
        m: 0,
        v: 0,
        mean: noise(i),
      }));
    });
    for (const p of state) arena.tensor('parameters', p.name).data[p.i] = p.theta;
    arena.region('average').set(arena.region('parameters'));

    for (let t = 1; t <= 30; t++) {
      const lr = 1e-2 / t;
      const g = state.map((_, k) => Math.fround(noise(k * 31 + t) * (t % 3 === 0 ? 0.05 : 1)));
      state.forEach((p, k) => (arena.tensor('gradients', p.name).data[p.i] = g[k]!));
      const norm = Math.sqrt(g.reduce((sum, x) => sum + x * x, 0));
      expect(gradientNorm(arena)).toBeCloseTo(norm, 4);
      adamwStep(arena, options, lr, t, gradientNorm(arena));

      const scale = norm > options.clip ? options.clip / norm : 1;
      const keep = Math.min(options.average, t / (t + 9));
      state.forEach((p, k) => {
        const gk = g[k]! * scale;
        p.m = options.beta1 * p.m + (1 - options.beta1) * gk;
        p.v = options.beta2 * p.v + (1 - options.beta2) * gk * gk;
        const mHat = p.m / (1 - options.beta1 ** t);
        const vHat = p.v / (1 - options.beta2 ** t);
        p.theta -=
          lr * (mHat / (Math.sqrt(vHat) + options.epsilon) + (p.decay ? options.weightDecay * p.theta : 0));
        p.mean = keep * p.mean + (1 - keep) * p.theta;
      });
    }
    for (const p of state) {
      expect(arena.tensor('parameters', p.name).data[p.i]).toBeCloseTo(p.theta, 5);
      expect(arena.tensor('average', p.name).data[p.i]).toBeCloseTo(p.mean, 5);
    }
  });

  it('sums squares of millions of values as float64 would', () => {
    const arena = new ParameterArena(new Map([['w', [3_000_001]]]), {
      accumulate: false,
      average: false,
      decays,
    });
    const g = arena.tensor('gradients', 'w').data;
    let expected = 0;
    for (let i = 0; i < g.length; i++) {
      g[i] = 1e-3 * (1 + (i % 17));
      expected += g[i]! * g[i]!;
    }
    // One f32 accumulator would be off by 2e-3.
    expect(Math.abs(gradientNorm(arena) / Math.sqrt(expected) - 1)).toBeLessThan(2e-6);
  });

  it('adds micro-batches', () => {
    const arena = new ParameterArena(shapes, { accumulate: true, average: false, decays });
    arena.tensor('gradients', 'matrix').data.fill(1.5);
    arena.tensor('scratch', 'matrix').data.fill(0.25);
    accumulateGradients(arena);
    expect(new Set(arena.tensor('gradients', 'matrix').data)).toEqual(new Set([1.75]));
    expect(new Set(arena.tensor('gradients', 'norm').data)).toEqual(new Set([0]));
  });
});

describe('ParameterArena', () => {
  it('puts decayed tensors first and keeps regions apart', () => {
    const arena = new ParameterArena(shapes, { accumulate: true, average: true, decays });
    expect(arena.decayedBytes).toBe(512);
    arena.region('parameters').fill(1);
    expect(arena.region('gradients').some((x) => x !== 0)).toBe(false);
    expect(arena.tensor('parameters', 'matrix').data.byteOffset).toBe(0);
  });

  it('says what to do when the parameters do not fit into 4 GiB', () => {
    const huge = new Map<string, Shape>([['w', [300_000, 1000]]]);
    expect(() => new ParameterArena(huge, { accumulate: false, average: false, decays })).toThrow(
      /300 million trainable parameters need 4\.5 GiB/,
    );
  });
});
