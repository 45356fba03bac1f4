import type { HeaderCursor } from './header-cursor.js';
import { ggufLimits } from './limits.js';

/** Numbers of an array, as stored; truth values are bytes. */
export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** A value of the metadata; 64-bit integers are numbers when that is exact. */
export type GgufValue = number | bigint | boolean | string | GgufNumbers | readonly GgufValue[];

const stringType = 8;
const arrayType = 9;
const boolType = 7;

/** Types whose values have one size, by their id in the file. */
const fixedTypes: ReadonlyMap<number, { readonly size: number; of(bytes: Uint8Array<ArrayBuffer>): GgufNumbers }> = new Map([
  [0, { size: 1, of: (b) => b }],
  [1, { size: 1, of: (b) => new Int8Array(b.buffer) }],
  [2, { size: 2, of: (b) => new Uint16Array(b.buffer) }],
  [3, { size: 2, of: (b) => new Int16Array(b.buffer) }],
  [4, { size: 4, of: (b) => new Uint32Array(b.buffer) }],
  [5, { size: 4, of: (b) => new Int32Array(b.buffer) }],
  [6, { size: 4, of: (b) => new Float32Array(b.buffer) }],
  [boolType, { size: 1, of: (b) => b }],
  [10, { size: 8, of: (b) => new BigUint64Array(b.buffer) }],
  [11, { size: 8, of: (b) => new BigInt64Array(b.buffer) }],
  [12, { size: 8, of: (b) => new Float64Array(b.buffer) }],
]);

/** Reads `count` keys with their values; CheckpointError for a key that comes twice, an unknown type or a length too far. */
export async function readMetadata(cursor: HeaderCursor, count: number): Promise<Map<string, GgufValue>> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = await cursor.text(ggufLimits.maxKeyLength, `metadata key ${i + 1}`);
    const shown = `\`${key.slice(0, 80)}\``;
    if (metadata.has(key)) cursor.fail(`the metadata key ${shown} comes twice`);
    await cursor.need(4);
    metadata.set(key, await readValue(cursor, cursor.u32(), shown, 0));
  }
  return metadata;
}

async function readValue(cursor: HeaderCursor, type: number, key: string, depth: number): Promise<GgufValue> {
  if (type === stringType) return cursor.text(ggufLimits.maxTextBytes, `the metadata text ${key}`);
  if (type === arrayType) return readArray(cursor, key, depth + 1);
  const fixed = fixedTypes.get(type);
  if (fixed === undefined) return cursor.fail(`the metadata value ${key} has the unknown type ${type}`);
  await cursor.need(fixed.size);
  const value = fixed.of(cursor.bytes(fixed.size))[0]!;
  if (type === boolType) return value !== 0;
  return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

async function readArray(cursor: HeaderCursor, key: string, depth: number): Promise<GgufValue> {
  const { maxArrayDepth, maxArrayLength, maxTextBytes } = ggufLimits;
  if (depth > maxArrayDepth) cursor.fail(`the arrays of ${key} are nested more than ${maxArrayDepth} deep`);
  await cursor.need(12);
  const type = cursor.u32();
  const length = cursor.u64();
  if (length > maxArrayLength) cursor.fail(`the array ${key} has ${length} values, more than ${maxArrayLength}`);
  const fixed = fixedTypes.get(type);
  if (fixed !== undefined) {
    await cursor.need(length * fixed.size);
    return fixed.of(cursor.bytes(length * fixed.size));
  }
  // The least that a text or an array takes; so no list grows longer than the file has room for.
  cursor.expect(length * 8);
  const values: GgufValue[] = [];
  const what = `a text of ${key}`;
  for (let i = 0; i < length; i++) {
    values.push(type === stringType ? await cursor.text(maxTextBytes, what) : await readValue(cursor, type, key, depth));
  }
  return values;
}
