import type { DifferentiableGraph, Value } from '@edgedesk/tensor';
import { op } from '@edgedesk/tensor';
import type { DecoderConfig, LinearRole } from '../config.js';
import { linearShape, weightName } from '../config.js';
import type { Composites } from './decoder.js';

/** A low-rank update of one linear layer, y += scale * (x A^T) B^T (Hu et al. 2021). */
export interface AdapterValues {
  /** `[rank, in]` */
  readonly a: Value;
  /** `[out, rank]` */
  readonly b: Value;
  readonly scale: number;
}

export interface ExpandOptions {
  readonly batch: number;
  readonly seq: number;
  /** i64 `[batch * seq]` */
  readonly tokenIds: Value;
  /** i64 `[batch, seq]`: attention never crosses segments. */
  readonly segmentIds: Value;
  readonly weight: (name: string) => Value;
  readonly adapter?: (layer: number, role: LinearRole) => AdapterValues | undefined;
  /** Flat rows of `[batch * seq]` that matter after the last attention; all when absent. i64 `[n]`. */
  readonly rows?: Value;
  /** What becomes of the final hidden states `[n, hidden]`. */
  readonly head: (hidden: Value, headWeight: Value) => Value;
}

/** Queries per attention block: shorter blocks skip more of the causal square but run smaller products. */
const attentionBlock = 128;

/**
 * Lowers the decoder to differentiable primitives, for training and calibration. Activations are `[batch * seq, d]`,
 * attention is `[batch, heads, seq, headDim]`; positions count from 0 in every row of the batch.
 */
export function expandLowering(
  g: DifferentiableGraph,
  config: DecoderConfig,
  options: ExpandOptions,
): Composites<Value, readonly Value[]> {
  const { batch, seq, weight } = options;
  const { headCount, kvHeadCount, headDim, normEpsilon } = config;
  const mask = segmentMask(g, options.segmentIds, batch, seq);
  const rope = ropeTables(g, config, seq);
  const blocks = seq % attentionBlock === 0 ? seq / attentionBlock : 1;

  const linear = (x: Value, layer: number, role: LinearRole): Value => {
    let y = g.apply('linear', [x, weight(weightName.linear(layer, role))], {});
    const adapter = options.adapter?.(layer, role);
    if (adapter) {
      const inner = g.apply('linear', [x, adapter.a], {});
      const delta = g.apply('linear', [inner, adapter.b], {});
      y = g.apply('add', [y, g.apply('scale', [delta], { factor: adapter.scale })], {});
    }
    const biased = config.qkvBias && (role === 'q' || role === 'k' || role === 'v');
    return biased ? g.apply('add', [y, weight(weightName.bias(layer, role))], {}) : y;
  };

  const norm = (x: Value, name: string): Value =>
    g.apply('rmsNorm', [x, weight(name)], { epsilon: normEpsilon });

  const heads = (x: Value, count: number, normWeight: string | null): Value => {
    let y = x;
    if (normWeight !== null) {
      y = norm(g.apply('reshape', [y], { shape: [batch * seq * count, headDim] }), normWeight);
    }
    y = g.apply('reshape', [y], { shape: [batch, seq, count, headDim] });
    return g.apply('transpose', [y], { permutation: [0, 2, 1, 3] });
  };

  return {
    embed: (name) => {
      g.scope = 'embed/';
      return g.apply('gather', [weight(name), options.tokenIds], {});
    },
    norm,
    addNorm: (residual, delta, name) => {
      const sum = g.apply('add', [residual, delta], {});
      return { sum, normed: norm(sum, name) };
    },
    project: (x, layer, roles) => {
      g.scope = `layer${layer}/`;
      return roles.map((role) => linear(x, layer, role));
    },
    attention: ([q, k, v], layer) => {
      const qNorm = config.qkNorm ? weightName.qNorm(layer) : null;
      const kNorm = config.qkNorm ? weightName.kNorm(layer) : null;
      const queries = g.apply('rope', [heads(q!, headCount, qNorm)], rope);
      const keys = g.apply('rope', [heads(k!, kvHeadCount, kNorm)], rope);
      const values = heads(v!, kvHeadCount, null);
      const mixed = g.apply('attention', [queries, keys, values], { mask, blocks });
      const joined = g.apply('transpose', [mixed], { permutation: [0, 2, 1, 3] });
      return g.apply('reshape', [joined], { shape: [batch * seq, linearShape(config, 'o')[1]] });
    },
    swiglu: ([gate, up]) => g.apply('swiglu', [gate!, up!], {}),
    linear,
    selectRows: (x) => (options.rows ? g.apply('gather', [x, options.rows], {}) : x),
    head: (hidden) => {
      g.scope = 'head/';
      return options.head(hidden, weight(config.tiedEmbedding ? weightName.embedding : weightName.head));
    },
  };
}

/** `[batch, 1, seq, seq]`: 0 where query i may read key j (j <= i, same segment), else a large negative number. */
function segmentMask(g: DifferentiableGraph, segmentIds: Value, batch: number, seq: number): Value {
  const masked = -1e9;
  const causal = g.f32(
    Float32Array.from({ length: seq * seq }, (_, i) => (i % seq > Math.floor(i / seq) ? masked : 0)),
    [1, 1, seq, seq],
  );
  const same = g.node(
    'Equal',
    [op.reshape(g, segmentIds, [batch, 1, seq, 1]), op.reshape(g, segmentIds, [batch, 1, 1, seq])],
    { dtype: 'bool', shape: [batch, 1, seq, seq] },
  );
  return g.node('Where', [same, causal, g.scalar(masked)], { dtype: 'f32', shape: [batch, 1, seq, seq] });
}

function ropeTables(g: DifferentiableGraph, config: DecoderConfig, seq: number) {
  const half = config.headDim / 2;
  const { cos, sin } = rotaryTables(config, seq);
  const shape = [seq, half];
  return { cos: g.f32(cos, shape), sin: g.f32(sin, shape), minusSin: g.f32(sin.map((x) => -x), shape) };
}

/** cos and sin of position * theta^(-2 i / headDim), each `[positions, headDim / 2]`, computed in double precision. */
export function rotaryTables(
  config: Pick<DecoderConfig, 'headDim' | 'ropeTheta'>,
  positions: number,
): { cos: Float32Array<ArrayBuffer>; sin: Float32Array<ArrayBuffer> } {
  const half = config.headDim / 2;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let i = 0; i < half; i++) {
    const frequency = config.ropeTheta ** ((-2 * i) / config.headDim);
    for (let p = 0; p < positions; p++) {
      cos[p * half + i] = Math.cos(p * frequency);
      sin[p * half + i] = Math.sin(p * frequency);
    }
  }
  return { cos, sin };
}

/** Logits `[n, vocab]` of final hidden states: the plain head. */
export function logitsHead(g: DifferentiableGraph): ExpandOptions['head'] {
  return (hidden, headWeight) => g.apply('linear', [hidden, headWeight], {});
}
