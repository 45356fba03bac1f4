import type { DecoderConfig, LinearFormat } from '@edgedesk/models';
import { storedSize, weightName, weightShapes } from '@edgedesk/models';
import { dtypeSize, elementCount } from '@edgedesk/tensor';
import type { DType } from '@edgedesk/tensor';

export interface WeightGroup {
  readonly group: 'embedding' | 'attention' | 'mlp' | 'norms and biases' | 'head';
  readonly tensors: number;
  readonly parameters: number;
  readonly sizeBytes: number;
  readonly bitsPerWeight: number;
}

/** How a weight is stored: by a linear format, element by element, or in a way of which only the size is known. */
export type Storage = LinearFormat | DType | { readonly sizeBytes: number };

const order = ['embedding', 'attention', 'mlp', 'norms and biases', 'head'] as const;

function groupOf(name: string, shape: readonly number[]): WeightGroup['group'] {
  if (name === weightName.embedding) return 'embedding';
  if (name === weightName.head) return 'head';
  if (shape.length !== 2) return 'norms and biases';
  return name.includes('.mlp.') ? 'mlp' : 'attention';
}

/** Parameters and bytes of a model's weights by their place in it; a tied head counts once, as the embedding. */
export function weightGroups(
  config: DecoderConfig,
  storageOf: (name: string, shape: readonly number[]) => Storage,
): WeightGroup[] {
  const sums = new Map(order.map((group) => [group, { tensors: 0, parameters: 0, sizeBytes: 0 }]));
  for (const [name, shape] of weightShapes(config)) {
    const sum = sums.get(groupOf(name, shape))!;
    const storage = storageOf(name, shape);
    const [rows = 1, columns = 1] = shape;
    sum.tensors++;
    sum.parameters += elementCount(shape);
    if (typeof storage === 'string') sum.sizeBytes += elementCount(shape) * dtypeSize[storage];
    else sum.sizeBytes += 'kind' in storage ? storedSize(storage, [rows, columns]) : storage.sizeBytes;
  }
  return order.flatMap((group) => {
    const sum = sums.get(group)!;
    return sum.tensors === 0 ? [] : [{ group, ...sum, bitsPerWeight: (sum.sizeBytes * 8) / sum.parameters }];
  });
}

/** `int4, groups of 32, symmetric`. */
export function describeFormat(format: LinearFormat): string {
  if (format.kind === 'dense') return format.storage === 'f32' ? 'float32' : 'float16';
  const kind = format.asymmetric ? 'asymmetric' : 'symmetric';
  return `int${format.bits}, groups of ${format.groupSize}, ${kind}`;
}
