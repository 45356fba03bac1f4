import { dtypeSize, elementCount, f32ToBf16, f32ToF16, ShapeError, type Shape } from '@edgedesk/tensor';
import { weightsFile, weightsIndexFile } from './open-weights.js';

/** How weights are stored. */
export type WeightDType = 'f32' | 'f16' | 'bf16';

/** A tensor to be written; `read` is called once, when its turn comes, and the result dropped after. */
export interface TensorToWrite {
  readonly name: string;
  readonly shape: Shape;
  /** Packed integers are written as they are. */
  readonly dtype: WeightDType | 'i32';
  /** An Int32Array for `i32`, else f32 values. */
  read(): Promise<Float32Array | Int32Array>;
}

/** Where weight files go; `FolderWriter` of `@edgedesk/tensor/node` is one. */
export interface WeightFolder {
  writeFile(name: string, content: string): Promise<void>;
  create(name: string): Promise<{
    write(offset: number, bytes: Uint8Array): Promise<void>;
    close(): Promise<void>;
  }>;
}

export interface WriteSafetensorsOptions {
  /** A new file is begun when the tensors would exceed this. @default 4 GB, which every file system takes */
  readonly maxShardBytes?: number;
  readonly onTensor?: (name: string, done: number, total: number) => void;
}

/** The header's `writer` in files that we wrote. */
export const safetensorsWriter = 'edgedesk';

const defaultShardBytes = 4e9;
/** Elements narrowed at a time. */
const chunkElements = 4 * 2 ** 20;

/**
 * Writes tensors as `model.safetensors`, or as shards with an index when they exceed `maxShardBytes`, one tensor in
 * memory at a time. Values are rounded to nearest even. ShapeError when a tensor does not have the announced size.
 */
export async function writeSafetensors(
  tensors: readonly TensorToWrite[],
  folder: WeightFolder,
  options: WriteSafetensorsOptions = {},
): Promise<void> {
  const shards = planShards(tensors, options.maxShardBytes ?? defaultShardBytes);
  const weightMap: Record<string, string> = {};
  let done = 0;
  for (const [i, shard] of shards.entries()) {
    const part = `${String(i + 1).padStart(5, '0')}-of-${String(shards.length).padStart(5, '0')}`;
    const name = shards.length === 1 ? weightsFile : `model-${part}.safetensors`;
    const file = await folder.create(name);
    try {
      const header = encodeHeader(shard);
      await file.write(0, header);
      let offset = header.byteLength;
      for (const tensor of shard) {
        offset = await writeTensor(tensor, offset, file);
        weightMap[tensor.name] = name;
        options.onTensor?.(tensor.name, ++done, tensors.length);
      }
    } finally {
      await file.close();
    }
  }
  if (shards.length === 1) return;
  const total = tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  const index = { metadata: { total_size: total, writer: safetensorsWriter }, weight_map: weightMap };
  await folder.writeFile(weightsIndexFile, `${JSON.stringify(index, null, 2)}\n`);
}

/** Tensors in order, larger elements first so that all are aligned, cut where a shard is full. */
function planShards(tensors: readonly TensorToWrite[], maxShardBytes: number): TensorToWrite[][] {
  const shards: TensorToWrite[][] = [[]];
  let size = 0;
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor);
    if (size > 0 && size + bytes > maxShardBytes) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)!.push(tensor);
    size += bytes;
  }
  return shards.map((shard) => shard.sort((a, b) => dtypeSize[b.dtype] - dtypeSize[a.dtype]));
}

function encodeHeader(tensors: readonly TensorToWrite[]): Uint8Array<ArrayBuffer> {
  let offset = 0;
  const entries = tensors.map((tensor) => {
    const begin = offset;
    offset += bytesOf(tensor);
    const entry = { dtype: tensor.dtype.toUpperCase(), shape: tensor.shape, data_offsets: [begin, offset] };
    return [tensor.name, entry] as const;
  });
  // `format: pt` is what transformers asks for.
  const metadata = { format: 'pt', writer: safetensorsWriter };
  const json = JSON.stringify(Object.fromEntries<unknown>([['__metadata__', metadata], ...entries]));
  const text = new TextEncoder().encode(json);
  const padded = Math.ceil(text.byteLength / 8) * 8;
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(text, 8);
  return header;
}

/** @returns the offset after the tensor. */
async function writeTensor(
  tensor: TensorToWrite,
  offset: number,
  file: { write(offset: number, bytes: Uint8Array): Promise<void> },
): Promise<number> {
  const values = await tensor.read();
  const { name, shape, dtype } = tensor;
  if (values.length !== elementCount(shape)) {
    throw new ShapeError(`${values.length} values do not fill the shape [${shape.join(', ')}]`, { where: name });
  }
  if (values instanceof Int32Array !== (dtype === 'i32')) {
    throw new ShapeError(`the values are not what ${dtype} is made from`, { where: name });
  }
  for (let at = 0; at < values.length; at += chunkElements) {
    const stored = narrowed(values.subarray(at, at + chunkElements), dtype);
    await file.write(
      offset + at * dtypeSize[dtype],
      new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength),
    );
  }
  return offset + bytesOf(tensor);
}

function narrowed(values: Float32Array | Int32Array, dtype: TensorToWrite['dtype']): ArrayBufferView {
  if (values instanceof Int32Array || dtype === 'f32') return values;
  return dtype === 'f16' ? f32ToF16(values) : f32ToBf16(values);
}

function bytesOf(tensor: TensorToWrite): number {
  return elementCount(tensor.shape) * dtypeSize[tensor.dtype];
}
