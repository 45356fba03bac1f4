import type { Tensor as OrtTensor, TensorConstructor } from 'onnxruntime-common';
import type { Tensor } from './backend.js';
import type { DType } from './dtype.js';
import { RuntimeFailure } from './errors.js';

const ortType = {
  f32: 'float32',
  f16: 'float16',
  i64: 'int64',
  i32: 'int32',
  i8: 'int8',
  u8: 'uint8',
  bool: 'bool',
} as const;

const ourType = Object.fromEntries(Object.entries(ortType).map(([ours, theirs]) => [theirs, ours])) as Record<
  string,
  DType
>;

/** `tensor` for ONNX Runtime, sharing its data. */
export function toOrt(constructor: TensorConstructor, tensor: Tensor): OrtTensor {
  if (tensor.dtype === 'bf16') throw new RuntimeFailure('bf16 tensors cannot be fed to a session');
  const make = constructor as unknown as new (
    type: string,
    data: unknown,
    dims: readonly number[],
  ) => OrtTensor;
  return new make(ortType[tensor.dtype], tensor.data, tensor.shape);
}

/** An output of ONNX Runtime on the CPU as ours, sharing its data. */
export function fromOrt(tensor: OrtTensor): Tensor {
  const dtype = ourType[tensor.type];
  if (!dtype) throw new RuntimeFailure(`an output has the unsupported element type ${tensor.type}`);
  return { dtype, shape: tensor.dims, data: tensor.data as Tensor['data'] };
}
