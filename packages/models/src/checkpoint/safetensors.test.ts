import { EdgeDeskError, f16BitsToF32, f32ToBf16, f32ToF16, memorySource } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import type { WeightSource } from '../weights.js';
import { memoryFolder, memoryStore, seeded } from './memory-store.case.js';
import { openWeights } from './open-weights.js';
import { openSafetensors } from './safetensors.js';
import { type TensorToWrite, type WeightDType, writeSafetensors } from './write-safetensors.js';

const random = seeded(5);
const values = (count: number): Float32Array => Float32Array.from({ length: count }, () => random() * 4 - 2);
const data: Readonly<Record<string, { shape: number[]; values: Float32Array }>> = {
  'a.weight': { shape: [3, 5], values: values(15) },
  b: { shape: [7], values: Float32Array.of(0, -0, 1e-8, 65504, -1e5, Infinity, 0.1) },
  'c.层': { shape: [2, 2, 2], values: values(8) },
  scalar: { shape: [], values: values(1) },
};

const toWrite = (dtype: WeightDType): TensorToWrite[] =>
  Object.entries(data).map(([name, { shape, values: v }]) => ({ name, shape, dtype, read: () => Promise.resolve(v) }));

async function written(dtype: WeightDType, maxShardBytes?: number): Promise<Record<string, Uint8Array>> {
  const folder = memoryFolder();
  await writeSafetensors(toWrite(dtype), folder, maxShardBytes === undefined ? {} : { maxShardBytes });
  return folder.files;
}

const rounded: Record<WeightDType, (x: Float32Array) => number[]> = {
  f32: (x) => [...x],
  f16: (x) => [...f32ToF16(x)].map(f16BitsToF32),
  bf16: (x) => [...f32ToBf16(x)].map((bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!),
};

const layouts = [
  ['one file', undefined],
  ['shards', 24],
  ['a shard for each', 1],
] as const;

describe.each(layouts)('every reader: %s', (_name, maxShardBytes) => {
  it.each(['f32', 'f16', 'bf16'] as const)('gives back %s weights', async (dtype) => {
    const weights = await openWeights(memoryStore(await written(dtype, maxShardBytes)));
    expect([...weights.tensors.keys()].sort()).toEqual(Object.keys(data).sort());
    for (const [name, { shape, values: expected }] of Object.entries(data)) {
      expect(weights.tensors.get(name)).toMatchObject({ name, dtype, shape });
      const read = await weights.readF32(name);
      expect([...read]).toEqual(rounded[dtype](expected));
      read.fill(7);
      expect([...(await weights.readF32(name))]).toEqual(rounded[dtype](expected));
    }
    await expectSentence(weights.readF32('nothing'), /`nothing` is missing/);
    await expectSentence(weights.readF32('constructor'), /`constructor` is missing/);
    await weights.close();
  });
});

describe('the writer', () => {
  it('names shards and lists them, aligns data, and announces what it is', async () => {
    const files = await written('f16', 24);
    expect(Object.keys(files)).toContain('model-00001-of-00003.safetensors');
    const index = JSON.parse(new TextDecoder().decode(files['model.safetensors.index.json']));
    expect(index.metadata).toEqual({ total_size: 62, writer: 'edgedesk' });
    expect(index.weight_map.scalar).toBe('model-00003-of-00003.safetensors');
    const one = await openSafetensors(memorySource('x', (await written('f32'))['model.safetensors']!));
    expect(one.metadata.get('format')).toBe('pt');
    expect([...one.tensors.values()].every(({ offset }) => offset % 4 === 0)).toBe(true);
  });

  it('puts larger elements first and refuses data of another size', async () => {
    const folder = memoryFolder();
    const three = Float32Array.of(1, 2, 3);
    const tensor = (name: string, dtype: WeightDType): TensorToWrite => ({
      name,
      dtype,
      shape: [3],
      read: () => Promise.resolve(three),
    });
    await writeSafetensors([tensor('half', 'f16'), tensor('whole', 'f32')], folder);
    const file = await openSafetensors(memorySource('x', folder.files['model.safetensors']!));
    expect(file.tensors.get('whole')!.offset % 4).toBe(0);
    expect([...(await file.readF32('whole'))]).toEqual([1, 2, 3]);
    await expectSentence(writeSafetensors([{ ...tensor('x', 'f32'), shape: [4] }], memoryFolder()), /3 values/);
  });
});

/** A file with `header` as its JSON and `dataBytes` zeros. */
function crafted(header: unknown, dataBytes = 0, announced?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, announced ?? BigInt(json.length), true);
  file.set(json, 8);
  return file;
}

const tensor = (shape: unknown, offsets: unknown, dtype: unknown = 'F32') => ({ dtype, shape, data_offsets: offsets });

const hostile: [string, Uint8Array, RegExp][] = [
  ['an empty file', new Uint8Array(), /too few/],
  ['a header of 2^63 bytes', crafted({}, 0, 2n ** 63n), /over the limit/],
  ['a header past the end', crafted({}, 0, 1000n), /past the end/],
  ['a git-lfs pointer', new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\n'), /over the limit/],
  ['no JSON', crafted('{"a":'), /not JSON/],
  ['bytes that are no UTF-8', Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe), /not UTF-8/],
  ['a list', crafted([]), /not a JSON object/],
  ['deep nesting', crafted('['.repeat(100_000)), /levels deep/],
  ['a name twice', crafted('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4), /key twice/],
  ['a long name', crafted({ ['x'.repeat(5000)]: tensor([1], [0, 4]) }, 4), /5000 characters/],
  ['an unknown dtype', crafted({ a: tensor([1], [0, 1], 'F8_E4M3') }, 1), /"F8_E4M3", which is not supported/],
  ['too small data', crafted({ a: tensor([2, 2], [0, 12]) }, 12), /needs 16 bytes but has 12/],
  ['an overflowing shape', crafted({ a: tensor([2 ** 40, 2 ** 40], [0, 4]) }, 4), /needs .* bytes but has 4/],
  ['a negative size', crafted({ a: tensor([-1], [0, 4]) }, 4), /no valid shape/],
  ['a fraction', crafted({ a: tensor([1.5], [0, 6]) }, 6), /no valid shape/],
  ['too many dimensions', crafted({ a: tensor(Array(9).fill(1), [0, 4]) }, 4), /no valid shape/],
  ['offsets past the end', crafted({ a: tensor([4], [0, 16]) }, 4), /the data has 4/],
  ['offsets backwards', crafted({ a: tensor([1], [4, 0]) }, 4), /lies at bytes 4 to 0/],
  ['an overlap', crafted({ a: tensor([2], [0, 8]), b: tensor([2], [4, 12]) }, 12), /`b` overlaps/],
  ['a gap', crafted({ a: tensor([1], [0, 4]), b: tensor([1], [8, 12]) }, 12), /4 bytes before the tensor `b`/],
  ['bytes left over', crafted({ a: tensor([1], [0, 4]) }, 9), /last 5 bytes/],
  ['an entry of another type', crafted({ a: 5 }), /not described/],
  ['metadata of another type', crafted({ __metadata__: { a: 1 } }), /not a text/],
];

describe('hostile files', () => {
  it.each(hostile)('refuses %s in one sentence', async (_name, bytes, message) => {
    let closed = 0;
    const source = { ...memorySource('model.safetensors', bytes), close: () => Promise.resolve(void closed++) };
    await expectSentence(openSafetensors(source), message);
    expect(closed).toBe(1);
  });

  it('refuses a truncation at every byte', async () => {
    const whole = (await written('f16'))['model.safetensors']!;
    for (let length = 0; length < whole.length; length++) {
      await expectSentence(openSafetensors(memorySource('x', whole.subarray(0, length))), /./);
    }
  });

  it('reads or refuses 600 mutated headers, never otherwise', async () => {
    const whole = (await written('f16'))['model.safetensors']!;
    const headerEnd = 8 + Number(new DataView(whole.buffer).getBigUint64(0, true));
    const dice = seeded(9);
    let refused = 0;
    for (let i = 0; i < 600; i++) {
      const bytes = whole.slice();
      for (let k = 0; k <= i % 4; k++) {
        const at = Math.floor(dice() * headerEnd);
        const digit = bytes[at]! >= 0x30 && bytes[at]! <= 0x39;
        bytes[at] = digit && dice() < 0.7 ? 0x30 + Math.floor(dice() * 10) : Math.floor(dice() * 256);
      }
      try {
        const weights: WeightSource = await openSafetensors(memorySource('x', bytes));
        for (const name of weights.tensors.keys()) await weights.readF32(name).catch(mustBeOurs);
      } catch (error) {
        mustBeOurs(error);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(400);
  });

  const index = (map: unknown): Record<string, string> => ({
    'model.safetensors.index.json': JSON.stringify({ weight_map: map }),
  });
  it('refuses indexes that lead elsewhere', async () => {
    await expectSentence(openWeights(memoryStore({})), /no `model.safetensors`/);
    await expectSentence(openWeights(memoryStore(index(5))), /weight_map/);
    await expectSentence(openWeights(memoryStore(index({}))), /0 tensors/);
    await expectSentence(openWeights(memoryStore(index({ a: '../../etc/x.safetensors' }))), /no shard's name/);
    await expectSentence(openWeights(memoryStore(index({ a: 'x.safetensors' }))), /missing/);
    const shard = (await written('f16'))['model.safetensors']!;
    const other = { ...index({ zzz: 'x.safetensors' }), 'x.safetensors': shard };
    await expectSentence(openWeights(memoryStore(other)), /`zzz` is missing/);
    const many = Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [`t${i}`, `s${i}.safetensors`]));
    await expectSentence(openWeights(memoryStore(index(many))), /1025 files/);
  });

  it('refuses integers where weights are read', async () => {
    const file = await openSafetensors(memorySource('x', crafted({ a: tensor([4], [0, 4], 'U8') }, 4)));
    await expectSentence(file.readF32('a'), /holds u8 values/);
  });
});

function mustBeOurs(error: unknown): void {
  if (!EdgeDeskError.isInstance(error)) throw new Error('not an EdgeDeskError', { cause: error });
}

async function expectSentence(promise: Promise<unknown>, pattern: RegExp): Promise<void> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!EdgeDeskError.isInstance(error)) throw new Error('no EdgeDeskError', { cause: error });
  expect(error.sentence).toMatch(pattern);
  expect(error.sentence).not.toContain('\n');
}
