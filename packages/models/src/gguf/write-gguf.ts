import { elementCount, RecipeError, ShapeError } from '@edgedesk/tensor';
import { weightShapes } from '../config.js';
import type { DecoderWeights, StoredLinear } from '../linear/decoder-weights.js';
import { type AsymmetricType, encodeRows, type WrittenType, writtenType, writtenTypes } from './encode-blocks.js';
import { type AnnouncedTensor, encodeHeader, ggufAlignment } from './encode-metadata.js';
import { ggufLimits } from './limits.js';
import { modelMetadata } from './model-metadata.js';
import { ggufNames, permutedHeads, unpermuted } from './tensor-names.js';
import { tokenizerMetadata } from './tokenizer-metadata.js';

export interface WriteGgufOptions {
  readonly name: string;
  readonly weights: DecoderWeights;
  /** From `readTokenizerFiles`. */
  readonly tokenizerFiles: ReadonlyMap<string, string>;
  /** Written from the start to the end. */
  readonly file: { write(offset: number, bytes: Uint8Array): Promise<void> };
  /** @default 'Q4_1' */
  readonly asymmetricType?: AsymmetricType;
  readonly signal?: AbortSignal;
  readonly onTensor?: (name: string, done: number, total: number) => void;
}

interface PlannedTensor extends AnnouncedTensor {
  /** The checkpoint's name. */
  readonly weight: string;
  readonly type: WrittenType;
  readonly sizeBytes: number;
}

/** Elements encoded at a time. */
const chunkElements = 4 * 2 ** 20;

/**
 * Writes a decoder with its tokenizer as a GGUF file that llama.cpp runs, one weight in memory at a time. The weights
 * that a reader computes with are those of `weights`, bit for bit: quantized layers go level by level into Q4_0, Q4_1,
 * Q5_0 or Q8_0 blocks, floats stay as wide as they are, norms and biases are F32.
 *
 * CheckpointError, before anything is written but for Q4_1, when GGUF has no type for a layer's values or llama.cpp no name
 * for its tokenizer.
 *
 * @returns the file's size in bytes.
 */
export async function writeGguf(options: WriteGgufOptions): Promise<number> {
  const { name, weights, tokenizerFiles, file, signal, onTensor } = options;
  const { config } = weights;
  const tensors = planTensors(weights, options.asymmetricType ?? 'Q4_1', name);
  const header = encodeHeader(
    [...modelMetadata(name, config, usualType(tensors)), ...tokenizerMetadata(tokenizerFiles, config, name)],
    tensors,
  );
  if (header.byteLength > ggufLimits.maxHeaderBytes) {
    throw new RecipeError(`the vocabulary takes ${header.byteLength} bytes, too many for a GGUF header`, { where: name });
  }
  await file.write(0, header);
  const headsOf = permutedHeads(config);
  let end = header.byteLength;
  for (const [done, tensor] of tensors.entries()) {
    signal?.throwIfAborted();
    const linear = weights.linears.get(tensor.weight);
    const offset = header.byteLength + tensor.offset;
    if (linear === undefined) {
      await file.write(offset, await vectorBytes(weights, tensor));
    } else {
      const heads = headsOf(tensor.weight);
      const rowOf = heads === null ? (row: number) => row : unpermuted(linear.shape[0] / heads);
      await writeMatrix(linear, tensor, rowOf, (at, bytes) => file.write(offset + at, bytes), name);
    }
    end = offset + tensor.sizeBytes;
    onTensor?.(tensor.weight, done + 1, tensors.length);
  }
  // Readers map the file with every tensor padded.
  const size = Math.ceil(end / ggufAlignment) * ggufAlignment;
  if (size > end) await file.write(end, new Uint8Array(size - end));
  return size;
}

function planTensors({ config, linears }: DecoderWeights, asymmetric: AsymmetricType, name: string): PlannedTensor[] {
  const names = ggufNames(config);
  let offset = 0;
  return [...weightShapes(config)].map(([weight, shape]) => {
    const linear = linears.get(weight);
    const type = linear ? writtenType(linear.format, shape.at(-1)!, asymmetric, `${name}, ${weight}`) : 'F32';
    const { id, blockElements, blockBytes } = writtenTypes[type];
    const sizeBytes = (elementCount(shape) / blockElements) * blockBytes;
    const tensor = { name: names.get(weight)!, weight, shape, type, typeId: id, offset, sizeBytes };
    offset = Math.ceil((offset + sizeBytes) / ggufAlignment) * ggufAlignment;
    return tensor;
  });
}

/** What most of the matrices' weights are stored as. */
function usualType(tensors: readonly PlannedTensor[]): WrittenType {
  const counts = new Map<WrittenType, number>();
  for (const { type, shape } of tensors) {
    if (shape.length === 2) counts.set(type, (counts.get(type) ?? 0) + elementCount(shape));
  }
  return [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))[0];
}

async function vectorBytes(weights: DecoderWeights, { weight, shape }: PlannedTensor): Promise<Uint8Array> {
  const values = await weights.readVector(weight);
  if (values.length !== elementCount(shape)) {
    throw new ShapeError(`${values.length} values do not fill the shape [${shape.join(', ')}]`, { where: weight });
  }
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

async function writeMatrix(
  stored: StoredLinear,
  { weight, type, sizeBytes }: PlannedTensor,
  rowOf: (row: number) => number,
  write: (at: number, bytes: Uint8Array) => Promise<void>,
  name: string,
): Promise<void> {
  const linear = await stored.read();
  const [rows, columns] = stored.shape;
  const rowsAtOnce = Math.max(1, Math.floor(chunkElements / columns));
  for (let row = 0; row < rows; row += rowsAtOnce) {
    const to = Math.min(rows, row + rowsAtOnce);
    await write((sizeBytes / rows) * row, encodeRows(linear, type, [row, to], rowOf, `${name}, ${weight}`));
  }
}
