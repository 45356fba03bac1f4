import { bf16ToF32, type ByteSource, CheckpointError, elementCount, f16ToF32 } from '@edgedesk/tensor';
import type { TensorInfo, WeightSource } from '../weights.js';
import { readSafetensorsHeader, type StoredTensor } from './safetensors-header.js';

/** Elements widened at a time: the stored bytes of one tensor are never in memory as a whole beside its f32 values. */
const chunkElements = 4 * 2 ** 20;

/** Weights of one safetensors file. */
export interface SafetensorsFile extends WeightSource {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** Opens a safetensors file; owns `source` from here on, also when it is refused with a CheckpointError. */
export async function openSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  try {
    const { tensors, metadata } = await readSafetensorsHeader(source);
    return {
      tensors,
      metadata,
      readF32: (name) => {
        const tensor = tensors.get(name);
        return tensor === undefined
          ? Promise.reject(missingTensor(name, source.name))
          : readWidened(source, tensor);
      },
      close: () => source.close(),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** The error of `readF32` for a tensor that is not there. */
export function missingTensor(name: string, where: string): CheckpointError {
  return new CheckpointError(`the tensor \`${name}\` is missing`, {
    where,
    fix: 'use weights and config.json of one revision',
  });
}

async function readWidened(source: ByteSource, tensor: StoredTensor): Promise<Float32Array<ArrayBuffer>> {
  const { dtype, offset } = tensor;
  const count = elementCount(tensor.shape);
  if (dtype === 'f32') {
    const bytes = await source.read(offset, 4 * count);
    return new Float32Array(aligned(bytes), 0, count);
  }
  if (dtype !== 'f16' && dtype !== 'bf16') throw notReal(tensor, source.name);
  const widen = dtype === 'f16' ? f16ToF32 : bf16ToF32;
  const values = new Float32Array(count);
  for (let at = 0; at < count; at += chunkElements) {
    const length = Math.min(chunkElements, count - at);
    const bytes = await source.read(offset + 2 * at, 2 * length);
    values.set(widen(new Uint16Array(aligned(bytes), 0, length)), at);
  }
  return values;
}

/** The error for a tensor of integers where weights are expected. */
export function notReal(tensor: TensorInfo, where: string): CheckpointError {
  return new CheckpointError(`the tensor \`${tensor.name}\` holds ${tensor.dtype} values, not weights`, {
    where,
    fix: 'use a checkpoint in f32, f16 or bf16',
  });
}

/** A buffer that begins with the first of `bytes`. */
function aligned(bytes: Uint8Array<ArrayBuffer>): ArrayBuffer {
  return bytes.byteOffset === 0 ? bytes.buffer : bytes.slice().buffer;
}
