import { elementCount, RecipeError, type Shape, type Tensor } from '@edgedesk/tensor';
import { bindKernels, type AdamwKernels } from './kernels.js';

/** Each tensor starts on a cache line, which also keeps every region a multiple of 64 bytes. */
const alignmentBytes = 64;
const pageBytes = 65_536;
/** WebAssembly memory has 32-bit addresses. */
const maxPages = 65_536;

/** A copy of all parameters' numbers: values, gradients, gradients of one more micro-batch, moments, average. */
export type Region = 'parameters' | 'gradients' | 'scratch' | 'm' | 'v' | 'average';

export interface ArenaOptions {
  /** Keep a second gradient region, needed when a step has several micro-batches. */
  readonly accumulate: boolean;
  /** Keep an exponential moving average of the parameters. */
  readonly average: boolean;
  /** Which parameters AdamW decays. */
  readonly decays: (name: string, shape: Shape) => boolean;
  /** Matrices that Muon updates instead of AdamW; they lie first. @default none */
  readonly orthogonalized?: (name: string, shape: Shape) => boolean;
}

type Group = [name: string, shape: Shape][];

interface Place {
  readonly shape: Shape;
  /** Byte offset inside a region. */
  readonly offset: number;
}

/**
 * All numbers that training changes, in one flat unshared WebAssembly memory: the regions lie one after another, each
 * with the same layout: Muon's matrices, AdamW's decayed tensors, the rest. Sessions read parameters and write gradients here directly; the memory
 * never grows, so views stay valid as long as the arena lives.
 */
export class ParameterArena {
  /** Bytes of one region. */
  readonly regionBytes: number;
  /** Leading bytes of a region that Muon updates. */
  readonly orthogonalizedBytes: number;
  /** End of the parameters that AdamW decays; they follow Muon's. */
  readonly decayedBytes: number;
  readonly kernels: AdamwKernels;
  readonly regions: readonly Region[];
  readonly #memory: WebAssembly.Memory;
  readonly #places = new Map<string, Place>();

  /** @throws RecipeError when the parameters and their optimizer state do not fit into 4 GiB */
  constructor(shapes: ReadonlyMap<string, Shape>, options: ArenaOptions) {
    const { decays, orthogonalized = () => false } = options;
    const groups = [0, 1, 2].map((group) =>
      [...shapes].filter(
        ([name, shape]) => (orthogonalized(name, shape) ? 0 : decays(name, shape) ? 1 : 2) === group,
      ),
    ) as [Group, Group, Group];
    let offset = 0;
    const place = ([name, shape]: [string, Shape]) => {
      this.#places.set(name, { shape, offset });
      offset += Math.ceil((elementCount(shape) * 4) / alignmentBytes) * alignmentBytes;
    };
    groups[0].forEach(place);
    this.orthogonalizedBytes = offset;
    groups[1].forEach(place);
    this.decayedBytes = offset;
    groups[2].forEach(place);
    this.regionBytes = offset;

    this.regions = [
      'parameters',
      'gradients',
      'm',
      'v',
      ...(options.accumulate ? (['scratch'] as const) : []),
      ...(options.average ? (['average'] as const) : []),
    ];
    const pages = Math.max(1, Math.ceil((this.regionBytes * this.regions.length) / pageBytes));
    if (pages > maxPages) {
      const millions = Math.round(this.regionBytes / 4e6);
      const gib = ((pages * pageBytes) / 2 ** 30).toFixed(1);
      throw new RecipeError(
        `${millions} million trainable parameters need ${gib} GiB for weights, gradients and AdamW's moments, more than the 4 GiB of a WebAssembly memory`,
        { fix: 'train LoRA adapters, a smaller model, or leave out accumulation and averaging' },
      );
    }
    this.#memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.kernels = bindKernels(this.#memory);
  }

  get names(): readonly string[] {
    return [...this.#places.keys()];
  }

  /** The matrices that Muon updates. */
  get orthogonalizedNames(): readonly string[] {
    return this.names.filter((name) => this.#places.get(name)!.offset < this.orthogonalizedBytes);
  }

  has(region: Region): boolean {
    return this.regions.includes(region);
  }

  /** Byte address of a region in the memory. */
  address(region: Region): number {
    const index = this.regions.indexOf(region);
    if (index < 0) throw new Error(`the arena was made without the region "${region}"`);
    return index * this.regionBytes;
  }

  /** A region's numbers, padding included, as a view. */
  region(region: Region): Float32Array<ArrayBuffer> {
    return new Float32Array(this.#memory.buffer, this.address(region), this.regionBytes / 4);
  }

  /** One parameter's numbers in a region, as a view. */
  tensor(region: Region, name: string): Tensor & { readonly data: Float32Array<ArrayBuffer> } {
    const place = this.#places.get(name);
    if (place === undefined) throw new Error(`the arena has no parameter "${name}"`);
    const start = this.address(region) + place.offset;
    return {
      dtype: 'f32',
      shape: place.shape,
      data: new Float32Array(this.#memory.buffer, start, elementCount(place.shape)),
    };
  }
}
