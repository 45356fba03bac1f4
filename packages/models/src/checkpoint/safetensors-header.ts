import { type ByteSource, CheckpointError, type DType, dtypeSize } from '@edgedesk/tensor';
import type { TensorInfo } from '../weights.js';
import { parseJson } from './read-json.js';

/** Limits on a safetensors file, which is untrusted. */
export const safetensorsLimits = {
  /** A tensor's entry takes about 100 bytes, so this is room for 300,000 of them. */
  maxHeaderBytes: 32 * 2 ** 20,
  /** The largest public decoders have some ten thousand tensors, mixtures of experts ten times that. */
  maxTensors: 200_000,
  maxNameLength: 512,
  /** Convolutions over volumes have 5. */
  maxRank: 8,
} as const;

/** A tensor and where its bytes lie in the file. */
export interface StoredTensor extends TensorInfo {
  /** Absolute offset of the first byte. */
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Free texts of the file's writer. */
  readonly metadata: ReadonlyMap<string, string>;
}

const dtypes: ReadonlyMap<unknown, DType> = new Map([
  ['F32', 'f32'],
  ['F16', 'f16'],
  ['BF16', 'bf16'],
  ['I64', 'i64'],
  ['I32', 'i32'],
  ['I8', 'i8'],
  ['U8', 'u8'],
  ['BOOL', 'bool'],
]);

const prefixBytes = 8;

/**
 * Reads and checks a safetensors header: an 8-byte little-endian length, JSON, then the tensors' bytes, which must
 * follow each other without gap or overlap to the end of the file.
 */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const where = source.name;
  const fail = (message: string): never => {
    throw new CheckpointError(message, { where, fix: 'copy or download the file again' });
  };
  if (source.sizeBytes < prefixBytes + 2) fail(`the file has ${source.sizeBytes} bytes, too few for safetensors`);
  const prefix = await source.read(0, prefixBytes);
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  if (length > BigInt(safetensorsLimits.maxHeaderBytes)) {
    fail(`the file announces a header of ${length} bytes, over the limit of ${safetensorsLimits.maxHeaderBytes}`);
  }
  const headerBytes = Number(length);
  const dataStart = prefixBytes + headerBytes;
  if (dataStart > source.sizeBytes) fail(`the header ends at byte ${dataStart}, past the end of the file`);
  const json = parseJson(decodeUtf8(await source.read(prefixBytes, headerBytes), fail), where, {
    uniqueKeys: true,
  });
  if (!isObject(json)) return fail('the header is not a JSON object');
  const { __metadata__: metadata, ...entries } = json;
  const names = Object.keys(entries);
  if (names.length > safetensorsLimits.maxTensors) fail(`the header lists ${names.length} tensors`);
  const dataBytes = source.sizeBytes - dataStart;
  const tensors = names.map((name) => storedTensor(name, entries[name], dataStart, dataBytes, fail));
  checkCoverage(tensors, dataStart, source.sizeBytes, fail);
  return {
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    metadata: readMetadata(metadata, fail),
  };
}

type Fail = (message: string) => never;

function storedTensor(
  name: string,
  entry: unknown,
  dataStart: number,
  dataBytes: number,
  fail: Fail,
): StoredTensor {
  if (name === '' || name.length > safetensorsLimits.maxNameLength) {
    return fail(`a tensor's name has ${name.length} characters, not 1 to ${safetensorsLimits.maxNameLength}`);
  }
  const tensor = `the tensor \`${name}\``;
  if (!isObject(entry)) return fail(`${tensor} is not described by an object`);
  const { dtype: stored, shape, data_offsets: offsets } = entry;
  const dtype = dtypes.get(stored);
  if (dtype === undefined) {
    const shown = (JSON.stringify(stored) ?? 'none').slice(0, 40);
    return fail(`${tensor} has the dtype ${shown}, which is not supported`);
  }
  if (!Array.isArray(shape) || shape.length > safetensorsLimits.maxRank || !shape.every(isCount)) {
    return fail(`${tensor} has no valid shape`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    return fail(`${tensor} has no valid data_offsets`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end || end > dataBytes) {
    return fail(`${tensor} lies at bytes ${begin} to ${end}, but the data has ${dataBytes}`);
  }
  const sizeBytes = shape.reduce<number>((product, d: number) => product * d, dtypeSize[dtype]);
  if (sizeBytes !== end - begin) {
    return fail(`${tensor} of shape [${shape.join(', ')}] needs ${sizeBytes} bytes but has ${end - begin}`);
  }
  return { name, dtype, shape: shape as number[], offset: dataStart + begin, sizeBytes };
}

function checkCoverage(tensors: readonly StoredTensor[], dataStart: number, fileEnd: number, fail: Fail): void {
  const byOffset = [...tensors].sort((a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes);
  let end = dataStart;
  for (const { name, offset, sizeBytes } of byOffset) {
    if (offset < end) fail(`the tensor \`${name}\` overlaps the one before it`);
    if (offset > end) fail(`${offset - end} bytes before the tensor \`${name}\` belong to no tensor`);
    end = offset + sizeBytes;
  }
  if (end !== fileEnd) fail(`the last ${fileEnd - end} bytes belong to no tensor`);
}

function readMetadata(value: unknown, fail: Fail): ReadonlyMap<string, string> {
  if (value === undefined) return new Map();
  if (!isObject(value)) return fail('`__metadata__` is not an object');
  return new Map(
    Object.entries(value).map(([key, text]) =>
      typeof text === 'string' ? [key, text] : fail(`\`__metadata__.${key.slice(0, 40)}\` is not a text`),
    ),
  );
}

function decodeUtf8(bytes: Uint8Array, fail: Fail): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return fail('the header is not UTF-8 text');
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
