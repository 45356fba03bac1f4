import { type ByteSource, CheckpointError, elementCount, type Shape } from '@edgedesk/tensor';
import { type DecoderConfig, weightShapes } from '../config.js';
import { missingTensor } from '../checkpoint/safetensors.js';
import { storedShape } from '../checkpoint/stored-weights.js';
import { rotaryDimOf } from '../rotary/rotation.js';
import type { TensorInfo, WeightSource } from '../weights.js';
import type { GgufContainer, GgufTensor } from './read-container.js';
import { ropeTensors } from './rope-tensors.js';
import { ggufLayout, permutedHeads, unpermuted } from './tensor-names.js';

/** Elements widened at a time: the stored blocks of one tensor are never in memory as a whole beside its f32 values. */
const chunkElements = 4 * 2 ** 20;

/** Where a weight's rows are. */
interface Place {
  readonly tensor: GgufTensor;
  readonly firstRow: number;
  readonly shape: Shape;
}

/**
 * The weights of a GGUF file by our names and in their order of rows, read and dequantized when asked for. The caller
 * closes `source`. CheckpointError when a weight is missing or of another shape, or when the file has one that the
 * decoder would ignore.
 */
export function ggufWeights(source: ByteSource, { tensors: stored }: GgufContainer, config: DecoderConfig): WeightSource {
  const shapes = weightShapes(config) as ReadonlyMap<string, Shape>;
  const layout = ggufLayout(config);
  const places = new Map<string, Place>();
  const tensors = new Map<string, TensorInfo>();
  for (const weight of layout) {
    const tensor = stored.get(weight.name);
    if (tensor === undefined) throw missingTensor(weight.name, source.name);
    const shape = storedShape(weight, shapes);
    if (tensor.shape.length !== shape.length || tensor.shape.some((d, i) => d !== shape[i])) {
      throw new CheckpointError(
        `the tensor \`${tensor.name}\` has shape [${tensor.shape.join(', ')}] but the metadata asks for [${shape.join(', ')}]`,
        { where: source.name, fix: 'convert the model again' },
      );
    }
    let firstRow = 0;
    for (const name of weight.parts) {
      const own = shapes.get(name)!;
      const share = elementCount(own) / elementCount(shape);
      tensors.set(name, { ...tensor, name, shape: own, sizeBytes: tensor.sizeBytes * share });
      places.set(name, { tensor, firstRow, shape: own });
      firstRow += own[0] as number;
    }
  }
  refuseUnknown(source, stored, new Set(layout.map(({ name }) => name)), rotaryDimOf(config) / 2);
  const rows = permutedHeads(config);
  return {
    tensors,
    readF32: (name) => {
      const place = places.get(name);
      if (place === undefined) return Promise.reject(missingTensor(name, source.name));
      const { tensor, firstRow, shape } = place;
      const heads = rows(name);
      const offset = tensor.offset + firstRow * rowBytes(tensor);
      return readRows(source, { ...tensor, shape, offset }, heads === null ? null : unpermuted((shape[0] as number) / heads));
    },
    close: () => source.close(),
  };
}

/** A tensor without a place in the decoder would change what llama.cpp computes; rotary divisors are read with the config. */
function refuseUnknown(
  source: ByteSource,
  stored: ReadonlyMap<string, GgufTensor>,
  known: ReadonlySet<string>,
  frequencies: number,
): void {
  const divisors = new Set<string>(Object.values(ropeTensors));
  for (const { name, shape } of stored.values()) {
    if (known.has(name) || (divisors.has(name) && shape.length === 1 && shape[0] === frequencies)) continue;
    throw new CheckpointError(`the tensor \`${name}\` has no place in this decoder`, {
      where: source.name,
      fix: 'use a model without it',
    });
  }
}

function rowBytes({ type, shape }: GgufTensor): number {
  return ((shape.at(-1) as number) / type.blockElements) * type.blockBytes;
}

/** A tensor widened to f32; each stored row goes where `place` says. */
export async function readRows(
  source: ByteSource,
  tensor: GgufTensor,
  place: ((row: number) => number) | null,
): Promise<Float32Array<ArrayBuffer>> {
  const { type, shape, offset } = tensor;
  const count = elementCount(shape);
  const columns = shape.at(-1)!;
  const rows = count / columns;
  const bytes = rowBytes(tensor);
  const rowsAtOnce = Math.max(1, Math.floor(chunkElements / columns));
  const values = new Float32Array(count);
  const scratch = place === null ? null : new Float32Array(Math.min(rows, rowsAtOnce) * columns);
  for (let row = 0; row < rows; row += rowsAtOnce) {
    const length = Math.min(rowsAtOnce, rows - row);
    const blocks = await source.read(offset + row * bytes, length * bytes);
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
