import { type ByteSource, CheckpointError, elementCount } from '@edgedesk/tensor';
import { type DecoderConfig, weightShapes } from '../config.js';
import { missingTensor } from '../checkpoint/safetensors.js';
import type { TensorInfo, WeightSource } from '../weights.js';
import type { GgufContainer, GgufTensor } from './read-container.js';
import { ggufNames, permutedHeads, unpermuted } from './tensor-names.js';

/** Elements widened at a time: the stored blocks of one tensor are never in memory as a whole beside its f32 values. */
const chunkElements = 4 * 2 ** 20;

/** Factors of the rotary frequencies, which long-context models have. */
const ropeFactors = 'rope_freqs.weight';

/**
 * The weights of a GGUF file by their Hugging Face names and in their order of rows, read and dequantized when asked for.
 * The caller closes `source`. CheckpointError when a weight is missing or of another shape, or when the file has one
 * that the decoder would ignore.
 */
export async function ggufWeights(
  source: ByteSource,
  { tensors: stored }: GgufContainer,
  config: DecoderConfig,
): Promise<WeightSource> {
  const names = ggufNames(config);
  const tensors = new Map<string, TensorInfo>();
  for (const [name, shape] of weightShapes(config)) {
    const tensor = stored.get(names.get(name)!);
    if (tensor === undefined) throw missingTensor(names.get(name)!, source.name);
    if (tensor.shape.length !== shape.length || tensor.shape.some((d, i) => d !== shape[i])) {
      throw new CheckpointError(
        `the tensor \`${tensor.name}\` has shape [${tensor.shape.join(', ')}] but the metadata asks for [${shape.join(', ')}]`,
        { where: source.name, fix: 'convert the model again' },
      );
    }
    tensors.set(name, { ...tensor, name });
  }
  await refuseUnknown(source, stored, new Set(names.values()), config.headDim / 2);
  const rows = permutedHeads(config);
  return {
    tensors,
    readF32: (name) => {
      const tensor = stored.get(names.get(name) ?? '');
      if (tensor === undefined) return Promise.reject(missingTensor(name, source.name));
      const heads = rows(name);
      return readRows(source, tensor, heads === null ? null : unpermuted(tensor.shape[0]! / heads));
    },
    close: () => source.close(),
  };
}

/** A tensor without a place in the decoder would change what llama.cpp computes; factors of 1 change nothing. */
async function refuseUnknown(
  source: ByteSource,
  stored: ReadonlyMap<string, GgufTensor>,
  known: ReadonlySet<string>,
  frequencies: number,
): Promise<void> {
  for (const tensor of stored.values()) {
    if (known.has(tensor.name)) continue;
    if (tensor.name === ropeFactors && elementCount(tensor.shape) === frequencies) {
      const factors = await readRows(source, tensor, null);
      if (factors.every((factor) => factor === 1)) continue;
      throw new CheckpointError(`\`${ropeFactors}\` scales the rotary positions, which is not supported`, {
        where: source.name,
        fix: 'use a model without scaled rotary positions',
      });
    }
    throw new CheckpointError(`the tensor \`${tensor.name}\` has no place in this decoder`, {
      where: source.name,
      fix: 'use a model without it',
    });
  }
}

/** A tensor widened to f32; each stored row goes where `place` says. */
export async function readRows(
  source: ByteSource,
  { type, shape, offset }: GgufTensor,
  place: ((row: number) => number) | null,
): Promise<Float32Array<ArrayBuffer>> {
  const count = elementCount(shape);
  const columns = shape.at(-1)!;
  const rows = count / columns;
  const rowBytes = (columns / type.blockElements) * type.blockBytes;
  const rowsAtOnce = Math.max(1, Math.floor(chunkElements / columns));
  const values = new Float32Array(count);
  const scratch = place === null ? null : new Float32Array(Math.min(rows, rowsAtOnce) * columns);
  for (let row = 0; row < rows; row += rowsAtOnce) {
    const length = Math.min(rowsAtOnce, rows - row);
    const blocks = await source.read(offset + row * rowBytes, length * rowBytes);
    if (place === null || scratch === null) {
      type.dequantize(blocks, values.subarray(row * columns, (row + length) * columns));
      continue;
    }
    const chunk = scratch.subarray(0, length * columns);
    type.dequantize(blocks, chunk);
    for (let r = 0; r < length; r++) {
      values.set(chunk.subarray(r * columns, (r + 1) * columns), place(row + r) * columns);
    }
  }
  return values;
}
