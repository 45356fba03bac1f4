import type { DecoderConfig, LinearRole } from '@edgedesk/models';
import { feedForwardNorm, linearShape, weightName } from '@edgedesk/models';
import type { stages } from '../sweep/sweep.js';

/**
 * Linear layers over one input, whose columns can be multiplied by s when what makes the input divides it by s: the norm
 * before them, or the rows of the linear layer before them (what lies between must commute with a factor for each channel,
 * as attention does over v, and the product of the gated layer over up).
 */
export interface ScaleSite {
  readonly stage: (typeof stages)[number];
  /** Layers whose columns are multiplied. */
  readonly readers: readonly LinearRole[];
  /** What divides: a norm, by its name in layer 0, or a layer's rows. */
  readonly source: { readonly norm: string } | { readonly rows: LinearRole };
  /** Number of factors. */
  readonly channels: number;
  /** The channel of each column of the readers. */
  channelOf(column: number): number;
}

/** The four places of a block that AWQ scales (Lin et al. 2024, section 3.2), in the order of computation. */
export function scaleSites(config: DecoderConfig): readonly ScaleSite[] {
  const { hiddenSize, intermediateSize, headCount, kvHeadCount, headDim } = config;
  const same = (column: number): number => column;
  const headsPerKv = headCount / kvHeadCount;
  return [
    {
      stage: 'attentionInput',
      readers: ['q', 'k', 'v'],
      source: { norm: weightName.inputNorm(0) },
      channels: hiddenSize,
      channelOf: same,
    },
    {
      stage: 'attention',
      readers: ['o'],
      source: { rows: 'v' },
      channels: linearShape(config, 'v')[0],
      // Query heads that share a key/value head share its channels.
      channelOf: (column) => Math.floor(column / headDim / headsPerKv) * headDim + (column % headDim),
    },
    {
      stage: 'mlpInput',
      readers: ['gate', 'up'],
      source: { norm: feedForwardNorm(config, 0) },
      channels: hiddenSize,
      channelOf: same,
    },
    {
      stage: 'mlp',
      readers: ['down'],
      source: { rows: 'up' },
      channels: intermediateSize,
      channelOf: same,
    },
  ];
}

/** Factors of a block's sites, in their order. */
export type BlockScales = readonly Float32Array[];

/** What multiplies one tensor of a block; null where nothing does. */
export interface TensorScale {
  /** By column `[in]`, or by element of a vector. */
  readonly columns: Float32Array | null;
  /** By row `[out]`. */
  readonly rows: Float32Array | null;
}

/** The factors that fold `scales` into the tensors of a block, by their names in layer 0. */
export function tensorScales(config: DecoderConfig, scales: BlockScales): Map<string, TensorScale> {
  const factors = new Map<string, { columns: Float32Array | null; rows: Float32Array | null }>();
  const of = (name: string) => {
    const known = factors.get(name) ?? { columns: null, rows: null };
    factors.set(name, known);
    return known;
  };
  for (const [i, { readers, source, channelOf }] of scaleSites(config).entries()) {
    const s = scales[i]!;
    for (const role of readers) {
      const columns = linearShape(config, role)[1];
      of(weightName.linear(0, role)).columns = Float32Array.from(
        { length: columns },
        (_, c) => s[channelOf(c)]!,
      );
    }
    const inverse = s.map((x) => 1 / x);
    if ('norm' in source) of(source.norm).columns = inverse;
    else {
      of(weightName.linear(0, source.rows)).rows = inverse;
      if (config.qkvBias && source.rows === 'v') of(weightName.bias(0, 'v')).columns = inverse;
    }
  }
  return factors;
}

/** Multiplies `values`, `[out, in]` or `[in]`, in place. */
export function scaleTensor(values: Float32Array, columnCount: number, { columns, rows }: TensorScale): void {
  for (let i = 0; i < values.length; i++) {
    if (columns) values[i]! *= columns[i % columnCount]!;
    if (rows) values[i]! *= rows[Math.floor(i / columnCount)]!;
  }
}
