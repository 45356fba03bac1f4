import { afterAll, describe, expect, it } from 'vitest';
import { weightShapes } from '@edgedesk/models';
import { memorySource } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { piecesOf } from '../data/pieces.js';
import { freshAdapters, fromScratch } from '../initialise/initial-weights.js';
import { adamwDefaults } from '../optimizer/adamw.js';
import { muonDefaults } from '../optimizer/muon.js';
import { encodeCheckpoint, readCheckpoint } from './checkpoint-format.js';
import { runTraining } from './run-training.js';
import { echoSource, tinyConfig, tinyTrainer } from './tiny-run.case.js';
import type { Trainer } from './trainer.js';

const backend = nodeBackend();
const open: Trainer[] = [];
function trainer(
  ...options: Parameters<typeof tinyTrainer> extends [unknown, ...infer R] ? R : never
): Trainer {
  const made = tinyTrainer(backend, ...options);
  open.push(made);
  return made;
}
afterAll(async () => {
  for (const made of open) await made.release();
});

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

describe('Trainer', () => {
  it('sums gradients over micro-batches to those of one large batch', async () => {
    const [whole, parts] = [trainer({ batch: 8, accumulate: 1 }), trainer({ batch: 2, accumulate: 4 })];
    const losses = [await whole.step(), await parts.step()].map(({ point }) => point.loss);
    expect(losses[0]).toBeCloseTo(losses[1]!, 5);
    const [a, b] = [whole.arena.region('gradients'), parts.arena.region('gradients')];
    const scale = a.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    a.forEach((x, i) => expect(Math.abs(x - b[i]!) / scale).toBeLessThan(1e-5));
  });

  it.each([
    ['AdamW', {}],
    ['Muon', { muon: muonDefaults }],
  ])('goes on from a checkpoint of %s with the same bytes and losses as without a stop', async (_, more) => {
    const straight = trainer({ optimizer: { ...adamwDefaults, average: 0.9 }, ...more });
    for (let i = 0; i < 14; i++) await straight.step();
    for (const stop of [3, 11]) {
      const first = trainer({ optimizer: { ...adamwDefaults, average: 0.9 }, ...more });
      for (let i = 0; i < stop; i++) await first.step();
      const bytes = concat(encodeCheckpoint(first.arena, first.state, 'x'));
      const second = trainer({
        optimizer: { ...adamwDefaults, average: 0.9 },
        initialise: () => undefined,
        ...more,
      });
      second.restore(await readCheckpoint(memorySource('checkpoint', bytes), second.arena, 'x'));
      for (let i = stop; i < 14; i++) await second.step();
      expect(second.state.steps.map(({ loss }) => loss)).toEqual(
        straight.state.steps.map(({ loss }) => loss),
      );
      for (const region of ['parameters', 'm', 'v', 'average'] as const) {
        expect(Buffer.compare(asBytes(second, region), asBytes(straight, region))).toBe(0);
      }
    }
  });

  it('trains adapters and leaves the base alone', async () => {
    const lora = { rank: 2, alpha: 4, roles: ['q', 'v'] as const };
    const base = fromScratch(tinyConfig, 1);
    const frozen = new Map(
      [...weightShapes(tinyConfig)].map(([name, shape]) => {
        const data = new Float32Array(shape.reduce((x, y) => x * y, 1));
        base(name, shape, data);
        return [name, { dtype: 'f32' as const, shape, data }];
      }),
    );
    const before = new Map([...frozen].map(([name, { data }]) => [name, data.slice()]));
    const adapted = trainer({ lora, frozen, initialise: freshAdapters(tinyConfig, lora, 1), accumulate: 1 });
    const plain = trainer({ accumulate: 1 });
    // B is zero at first: the adapted model is the base.
    expect((await adapted.step()).point.loss).toBeCloseTo((await plain.step()).point.loss, 5);
    for (let i = 0; i < 12; i++) await adapted.step();
    const { steps } = adapted.state;
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss);
    for (const [name, { data }] of frozen) expect(data).toEqual(before.get(name));
  });

  it('spends its budget, evaluates and saves when due, and stops when asked', async () => {
    const events: string[] = [];
    const run = (made: Trainer, signal?: AbortSignal) =>
      runTraining(made, {
        evaluations: [{ name: 'held-out', rows: [piecesOf(echoSource('held-out', 1, 9), 32)] }],
        evaluateEvery: { steps: 4 },
        checkpointEvery: { steps: 5 },
        saveCheckpoint: () => Promise.resolve('here'),
        onEvent: (event) => events.push(event.type === 'step' ? '.' : event.type),
        signal,
      });
    const made = trainer({ budget: { steps: 10 } });
    expect(await run(made)).toBe('done');
    expect(events.join(' ')).toBe(
      '. . . . evaluation . checkpoint . . . evaluation . . evaluation checkpoint',
    );
    expect(made.state.evaluations[0]!.sets['held-out']).toBeGreaterThan(1);

    const stop = new AbortController();
    stop.abort();
    expect(await run(trainer(), stop.signal)).toBe('stopped');
  });
});

describe('readCheckpoint', () => {
  it('refuses what is damaged or belongs elsewhere, in one sentence', async () => {
    const made = trainer();
    await made.step();
    const bytes = concat(encodeCheckpoint(made.arena, made.state, 'recipe A'));
    const read = (changed: Uint8Array, fingerprint: string | null = 'recipe A') =>
      readCheckpoint(memorySource('last.ckpt', changed), made.arena, fingerprint);
    await expect(read(bytes)).resolves.toEqual(made.state);
    await expect(read(bytes, null)).resolves.toEqual(made.state);
    await expect(read(bytes, 'recipe B')).rejects.toThrow(/recipe or its data changed/);
    for (const length of [0, 10, 40, bytes.length - 1]) {
      await expect(read(bytes.slice(0, length))).rejects.toThrow(/damaged or cut off/);
    }
    for (const at of [2, 20, bytes.length - 100]) {
      const flipped = bytes.slice();
      flipped[at]! ^= 0x40;
      await expect(read(flipped)).rejects.toThrow(/damaged|other parameters|changed/);
    }
  });
});

function asBytes(made: Trainer, region: Parameters<Trainer['arena']['region']>[0]): Uint8Array {
  const view = made.arena.region(region);
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
