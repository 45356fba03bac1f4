import { type ByteSource, CheckpointError } from '@edgedesk/tensor';
import type { TensorInfo } from '../weights.js';
import { HeaderCursor } from './header-cursor.js';
import { ggufLimits } from './limits.js';
import { Metadata } from './metadata.js';
import { readMetadata } from './read-metadata.js';
import { type TensorType, tensorTypes, typeName } from './tensor-types.js';

/** A tensor and where its blocks lie in the file. `shape` is row-major: the reverse of the file's order. */
export interface GgufTensor extends TensorInfo {
  readonly type: TensorType;
  /** Absolute offset of the first byte. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** What a GGUF file says about itself. */
export interface GgufContainer {
  readonly metadata: Metadata;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** `GGUF` as a little-endian number. */
export const ggufMagic = 0x46554747;
const defaultAlignment = 32;

/**
 * Reads the header of a GGUF file of version 2 or 3, little endian: magic, version, counts, metadata, tensor list; the
 * tensors' data follow at an aligned offset. CheckpointError when a part is malformed, or lies outside the file or upon
 * another.
 */
export async function readContainer(source: ByteSource): Promise<GgufContainer> {
  const cursor = new HeaderCursor(source);
  await cursor.need(24);
  if (cursor.u32() !== ggufMagic) cursor.fail('this is not a GGUF file: it does not begin with GGUF');
  checkVersion(cursor.u32(), source.name);
  const tensorCount = cursor.u64();
  const keyCount = cursor.u64();
  if (tensorCount > ggufLimits.maxTensors) cursor.fail(`the file announces ${tensorCount} tensors`);
  if (keyCount > ggufLimits.maxKeys) cursor.fail(`the file announces ${keyCount} metadata keys`);
  const metadata = new Metadata(await readMetadata(cursor, keyCount), source.name);
  const alignment = metadata.count('general.alignment') ?? defaultAlignment;
  if (alignment < 1 || alignment > ggufLimits.maxAlignment || (alignment & (alignment - 1)) !== 0) {
    cursor.fail(`the alignment ${alignment} is not a power of two up to ${ggufLimits.maxAlignment}`);
  }
  const tensors = new Map<string, GgufTensor>();
  for (let i = 0; i < tensorCount; i++) {
    const tensor = await readTensorInfo(cursor, i, alignment);
    if (tensors.has(tensor.name)) cursor.fail(`the tensor \`${tensor.name}\` comes twice`);
    tensors.set(tensor.name, tensor);
  }
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  return { metadata, tensors: placed(tensors, dataStart, source.sizeBytes, cursor) };
}

function checkVersion(version: number, where: string): void {
  if (version === 2 || version === 3) return;
  if (version === 0x02000000 || version === 0x03000000) {
    throw new CheckpointError('the GGUF file is big endian', { where, fix: 'use the little-endian file' });
  }
  throw new CheckpointError(`GGUF version ${version} is not supported`, {
    where,
    fix: 'use a file of version 2 or 3',
  });
}

/** `offset` is still relative to the data. */
async function readTensorInfo(cursor: HeaderCursor, index: number, alignment: number): Promise<GgufTensor> {
  const name = await cursor.text(ggufLimits.maxTensorNameLength, `the name of tensor ${index + 1}`);
  const tensor = `the tensor \`${name}\``;
  await cursor.need(4);
  const rank = cursor.u32();
  if (rank < 1 || rank > ggufLimits.maxRank) cursor.fail(`${tensor} has ${rank} dimensions`);
  await cursor.need(8 * rank + 12);
  const shape = Array.from({ length: rank }, () => cursor.u64()).reverse();
  const typeId = cursor.u32();
  const offset = cursor.u64();
  const type = tensorTypes.get(typeId);
  if (type === undefined) {
    return cursor.fail(`${tensor} has the type ${typeName(typeId)}, which is not supported`);
  }
  const count = shape.reduce((product, d) => product * d, 1);
  if (count < 1 || !Number.isSafeInteger(count)) cursor.fail(`${tensor} has the shape [${shape.join(', ')}]`);
  if (shape.at(-1)! % type.blockElements !== 0) {
    cursor.fail(`${tensor} has rows of ${shape.at(-1)}, not whole ${type.name} blocks of ${type.blockElements}`);
  }
  if (offset % alignment !== 0) cursor.fail(`${tensor} lies at the offset ${offset}, which is not aligned`);
  const sizeBytes = (count / type.blockElements) * type.blockBytes;
  return { name, dtype: type.dtype, shape, type, encoding: type.name, offset, sizeBytes };
}

/** The tensors with absolute offsets; CheckpointError when one lies upon another or past the end. */
function placed(
  tensors: ReadonlyMap<string, GgufTensor>,
  dataStart: number,
  fileEnd: number,
  cursor: HeaderCursor,
): ReadonlyMap<string, GgufTensor> {
  const result = new Map<string, GgufTensor>();
  for (const [name, tensor] of tensors) {
    const offset = dataStart + tensor.offset;
    if (offset + tensor.sizeBytes > fileEnd) {
      cursor.fail(`the tensor \`${name}\` ends at byte ${offset + tensor.sizeBytes} of a file of ${fileEnd}`);
    }
    result.set(name, { ...tensor, offset });
  }
  const byOffset = [...result.values()].sort((a, b) => a.offset - b.offset);
  let end = dataStart;
  for (const { name, offset, sizeBytes } of byOffset) {
    if (offset < end) cursor.fail(`the tensor \`${name}\` overlaps the one before it`);
    end = offset + sizeBytes;
  }
  return result;
}
