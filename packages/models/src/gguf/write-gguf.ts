import { CheckpointError, elementCount, RecipeError, ShapeError } from '@edgedesk/tensor';
import { storedShape } from '../checkpoint/stored-weights.js';
import { weightShapes } from '../config.js';
import type { DecoderWeights, StoredLinear } from '../linear/decoder-weights.js';
import { type AsymmetricType, encodeRows, type WrittenType, writtenType, writtenTypes } from './encode-blocks.js';
import { type AnnouncedTensor, encodeHeader, ggufAlignment } from './encode-metadata.js';
import { ggufLimits } from './limits.js';
import { modelMetadata } from './model-metadata.js';
import { ropeVectors } from './rope-metadata.js';
import { ggufLayout, permutedHeads, unpermuted } from './tensor-names.js';
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
  /** Our names of what it is made of, one behind the other; none for `vector`. */
  readonly weights: readonly string[];
  /** Divisors of the rotary frequencies. */
  readonly vector?: Float32Array;
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
  const tokenizer = tokenizerMetadata(tokenizerFiles, config, name);
  const header = encodeHeader(
    [...modelMetadata(name, tokenizer.modelName, config, usualType(tensors)), ...tokenizer.entries],
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
    const offset = header.byteLength + tensor.offset;
    const rowBytes = tensor.sizeBytes / tensor.shape[0]!;
    let place = offset;
    if (tensor.vector !== undefined) await file.write(offset, bytesOf(tensor.vector, tensor));
    for (const weight of tensor.weights) {
      const linear = weights.linears.get(weight);
      if (linear === undefined) {
        await file.write(place, bytesOf(await weights.readVector(weight), tensor));
        continue;
      }
      const heads = headsOf(weight);
      const rowOf = heads === null ? (row: number) => row : unpermuted(linear.shape[0] / heads);
      const begin = place;
      await writeMatrix(linear, tensor.type, rowBytes, rowOf, (at, bytes) => file.write(begin + at, bytes), `${name}, ${weight}`);
      place += linear.shape[0] * rowBytes;
    }
    end = offset + tensor.sizeBytes;
    onTensor?.(tensor.name, done + 1, tensors.length);
  }
  // Readers map the file with every tensor padded.
  const size = Math.ceil(end / ggufAlignment) * ggufAlignment;
  if (size > end) await file.write(end, new Uint8Array(size - end));
  return size;
}

function planTensors({ config, linears }: DecoderWeights, asymmetric: AsymmetricType, name: string): PlannedTensor[] {
  const shapes = weightShapes(config);
  let offset = 0;
  const placed = (tensor: Pick<PlannedTensor, 'name' | 'weights' | 'vector'>, type: WrittenType, shape: readonly number[]): PlannedTensor => {
    const { id, blockElements, blockBytes } = writtenTypes[type];
    const sizeBytes = (elementCount(shape) / blockElements) * blockBytes;
    const start = offset;
    offset = Math.ceil((offset + sizeBytes) / ggufAlignment) * ggufAlignment;
    return { ...tensor, shape, type, typeId: id, offset: start, sizeBytes };
  };
  const weights = ggufLayout(config).map((stored) => {
    const shape = storedShape(stored, shapes);
    const types = stored.parts.map((weight): WrittenType => {
      const linear = linears.get(weight);
      return linear ? writtenType(linear.format, shape.at(-1)!, asymmetric, `${name}, ${weight}`) : 'F32';
    });
    if (types.some((type) => type !== types[0])) {
      throw new CheckpointError(`\`${stored.name}\` is one tensor in GGUF, and its parts are ${types.join(', ')} here`, {
        where: name,
        fix: 'compress these layers alike',
      });
    }
    return placed({ name: stored.name, weights: stored.parts }, types[0]!, shape);
  });
  const vectors = [...ropeVectors(config)].map(([tensor, vector]) =>
    placed({ name: tensor, weights: [], vector }, 'F32', [vector.length]),
  );
  return [...weights, ...vectors];
}

/** What most of the matrices' weights are stored as. */
function usualType(tensors: readonly PlannedTensor[]): WrittenType {
  const counts = new Map<WrittenType, number>();
  for (const { type, shape } of tensors) {
    if (shape.length === 2) counts.set(type, (counts.get(type) ?? 0) + elementCount(shape));
  }
  return [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))[0];
}

function bytesOf(values: Float32Array, { name, shape }: PlannedTensor): Uint8Array {
  if (values.length !== elementCount(shape)) {
    throw new ShapeError(`${values.length} values do not fill the shape [${shape.join(', ')}]`, { where: name });
  }
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

async function writeMatrix(
  stored: StoredLinear,
  type: WrittenType,
  rowBytes: number,
  rowOf: (row: number) => number,
  write: (at: number, bytes: Uint8Array) => Promise<void>,
  where: string,
): Promise<void> {
  const linear = await stored.read();
  const [rows, columns] = stored.shape;
  const rowsAtOnce = Math.max(1, Math.floor(chunkElements / columns));
  for (let row = 0; row < rows; row += rowsAtOnce) {
    const to = Math.min(rows, row + rowsAtOnce);
    await write(rowBytes * row, encodeRows(linear, type, [row, to], rowOf, where));
  }
}
