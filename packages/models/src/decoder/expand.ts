import type { DifferentiableGraph, Value } from '@edgedesk/tensor';
import { op } from '@edgedesk/tensor';
import type { DecoderConfig, LinearRole } from '../config.js';
import { isLocal, linearShape, weightName } from '../config.js';
import { rotaryDimOf, rotaryTables, type Rotation, rotationOf } from '../rotary/rotation.js';
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
  const maskOf = remembered(String, (window: number | null) =>
    segmentMask(g, options.segmentIds, batch, seq, window),
  );
  const tablesOf = remembered(
    ({ name }) => name,
    (rotation: Rotation) => ropeTables(g, rotation, seq),
  );
  const rotaryDim = rotaryDimOf(config);
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

  const rotate = (x: Value, layer: number): Value => {
    const tables = tablesOf(rotationOf(config, layer));
    if (rotaryDim === headDim) return g.apply('rope', [x], tables);
    const turned = g.apply('slice', [x], { axis: 3, start: 0, end: rotaryDim });
    const rest = g.apply('slice', [x], { axis: 3, start: rotaryDim, end: headDim });
    return g.apply('concat', [g.apply('rope', [turned], tables), rest], { axis: 3 });
  };

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
      const rows = g.apply('gather', [weight(name), options.tokenIds], {});
      const { embeddingScale: factor = 1 } = config;
      return factor === 1 ? rows : g.apply('scale', [rows], { factor });
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
      const queries = rotate(heads(q!, headCount, qNorm), layer);
      const keys = rotate(heads(k!, kvHeadCount, kNorm), layer);
      const values = heads(v!, kvHeadCount, null);
      const mask = maskOf(isLocal(config, layer) ? config.local!.window : null);
      const { attentionScale: scale } = config;
      const mixed = g.apply('attention', [queries, keys, values], { mask, blocks, ...(scale === undefined ? {} : { scale }) });
      const joined = g.apply('transpose', [mixed], { permutation: [0, 2, 1, 3] });
      return g.apply('reshape', [joined], { shape: [batch * seq, linearShape(config, 'o')[1]] });
    },
    gated: ([gate, up]) => g.apply(config.activation === 'gelu' ? 'geglu' : 'swiglu', [gate!, up!], {}),
    linear,
    selectRows: (x) => (options.rows ? g.apply('gather', [x, options.rows], {}) : x),
    head: (hidden) => {
      g.scope = 'head/';
      return options.head(hidden, weight(config.tiedEmbedding ? weightName.embedding : weightName.head));
    },
  };
}

/** `make`, called once for all arguments of one name. */
function remembered<A, T>(nameOf: (argument: A) => string, make: (argument: A) => T): (argument: A) => T {
  const known = new Map<string, T>();
  return (argument) => {
    const name = nameOf(argument);
    const value = known.get(name) ?? make(argument);
    known.set(name, value);
    return value;
  };
}

/**
 * `[batch, 1, seq, seq]`: 0 where query i may read key j (j <= i, within the window, same segment), else a large negative
 * number.
 */
function segmentMask(
  g: DifferentiableGraph,
  segmentIds: Value,
  batch: number,
  seq: number,
  window: number | null,
): Value {
  const masked = -1e9;
  const reach = window ?? seq;
  const causal = g.f32(
    Float32Array.from({ length: seq * seq }, (_, i) => {
      const back = Math.floor(i / seq) - (i % seq);
      return back < 0 || back >= reach ? masked : 0;
    }),
    [1, 1, seq, seq],
  );
  const same = g.node(
    'Equal',
    [op.reshape(g, segmentIds, [batch, 1, seq, 1]), op.reshape(g, segmentIds, [batch, 1, 1, seq])],
    { dtype: 'bool', shape: [batch, 1, seq, seq] },
  );
  return g.node('Where', [same, causal, g.scalar(masked)], { dtype: 'f32', shape: [batch, 1, seq, seq] });
}

interface RopeTables {
  readonly cos: Value;
  readonly sin: Value;
  readonly minusSin: Value;
}

function ropeTables(g: DifferentiableGraph, rotation: Rotation, seq: number): RopeTables {
  const { cos, sin } = rotaryTables(rotation, seq);
  const shape = [seq, rotation.frequencies.length];
  return { cos: g.f32(cos, shape), sin: g.f32(sin, shape), minusSin: g.f32(sin.map((x) => -x), shape) };
}

/** Logits `[n, vocab]` of final hidden states: the plain head. */
export function logitsHead(g: DifferentiableGraph): ExpandOptions['head'] {
  return (hidden, headWeight) => g.apply('linear', [hidden, headWeight], {});
}
