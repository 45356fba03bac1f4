/**
 * A linear layer is a value. `Dense` holds f32 weights; `NBit` holds group-quantized integers. Logical formats: how a
 * runtime packs them is `stored.ts`'s business. Low-rank and adapted layers join this union.
 */
export type Linear = DenseLinear | NBitLinear;

export interface DenseLinear {
  readonly kind: 'dense';
  /** `[out, in]`. */
  readonly shape: readonly [number, number];
  /** Row-major `[out, in]`. */
  readonly weight: Float32Array;
  /** How the weight is stored on disk. */
  readonly storage: 'f32' | 'f16';
}

export interface NBitLinear {
  readonly kind: 'nbit';
  readonly shape: readonly [number, number];
  readonly bits: 2 | 4 | 8;
  /** Fewer bits than the container's whose levels are all in use; see `NBitFormat`. */
  readonly levelBits?: 2 | 3 | undefined;
  /** Columns that share a scale; the last group of a row may be shorter. */
  readonly groupSize: number;
  /** One unsigned level a byte, row-major `[out, in]`, each < 2^bits. */
  readonly levels: Uint8Array;
  /** `[out, ceil(in / groupSize)]`, already rounded to binary16's grid. */
  readonly scales: Float32Array;
  /** Same shape as `scales`; absent means symmetric: 2^(bits - 1) everywhere. */
  readonly zeroPoints?: Uint8Array;
}

/** What kind of value a linear layer is, known without reading its weights. */
export type LinearFormat = DenseFormat | NBitFormat;

export interface DenseFormat {
  readonly kind: 'dense';
  readonly storage: 'f32' | 'f16';
}

export interface NBitFormat {
  readonly kind: 'nbit';
  /** Bits that a level is stored in: the container. */
  readonly bits: 2 | 4 | 8;
  /**
   * Bits of information in a level, fewer than `bits`: only 2^levelBits of the container's levels occur, around the middle
   * one or, with zero points, from 0. Kernels need not know. @default bits
   */
  readonly levelBits?: 2 | 3 | undefined;
  readonly groupSize: number;
  /** Each group has its own zero point. */
  readonly asymmetric: boolean;
}

/** The format that `linear` has. */
export function formatOf(linear: Linear): LinearFormat {
  switch (linear.kind) {
    case 'dense':
      return { kind: 'dense', storage: linear.storage };
    case 'nbit':
      return {
        kind: 'nbit',
        bits: linear.bits,
        ...(linear.levelBits === undefined ? {} : { levelBits: linear.levelBits }),
        groupSize: linear.groupSize,
        asymmetric: linear.zeroPoints !== undefined,
      };
  }
}

/** The grids of all groups of a weight, `[out, ceil(in / groupSize)]`; without zero points they are symmetric. */
export interface GroupGrids {
  readonly scales: Float32Array;
  readonly zeroPoints?: Uint8Array;
}

/** The layer that levels on grids are. */
export function quantizedLinear(
  shape: readonly [number, number],
  { bits, levelBits, groupSize }: Pick<NBitFormat, 'bits' | 'levelBits' | 'groupSize'>,
  levels: Uint8Array,
  { scales, zeroPoints }: GroupGrids,
): NBitLinear {
  return {
    kind: 'nbit',
    shape,
    bits,
    ...(levelBits === undefined ? {} : { levelBits }),
    groupSize,
    levels,
    scales,
    ...(zeroPoints ? { zeroPoints } : {}),
  };
}

/** True when layers of both formats can be packed into one; how many of the levels are in use does not matter. */
export function sameFormat(a: LinearFormat, b: LinearFormat): boolean {
  if (a.kind === 'dense') return b.kind === 'dense' && a.storage === b.storage;
  return (
    b.kind === 'nbit' && a.bits === b.bits && a.groupSize === b.groupSize && a.asymmetric === b.asymmetric
  );
}

/** Bits of information in each weight's number, without scales and zero points. */
export function informationBits(format: LinearFormat): number {
  if (format.kind === 'dense') return format.storage === 'f32' ? 32 : 16;
  return format.levelBits ?? format.bits;
}

/** Groups in one row of `columns`; the last may be shorter. */
export function groupsPerRow(columns: number, groupSize: number): number {
  return Math.ceil(columns / groupSize);
}

/** The level that stands for zero where a group has no zero point of its own. */
export function middleLevel(bits: NBitFormat['bits']): number {
  return 2 ** (bits - 1);
}
