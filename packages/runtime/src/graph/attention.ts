import { CheckpointError, microsoftDomain, type onnx } from '@edgedesk/tensor';
import { type DecoderConfig, rotaryDimOf } from '@edgedesk/models';
import type { NodeList } from './node-list.js';

/** Values that all attention layers of one loop iteration share. */
export interface AttentionStep {
  /** i64 [1]: position of the first of this iteration's S rows. */
  readonly position: string;
  /** f32 [group * S, past + recent rows]: 0 where a row may look, -inf elsewhere. */
  readonly mask: string;
  /** As `mask`, for layers that see a window only; null when there are none. */
  readonly localMask: string | null;
  /** i64 [2]: numbers of past and of recent rows, this iteration's included. */
  readonly stretches: string;
  /** i64 [1]: positions up to the last of this iteration's rows. */
  readonly total: string;
}

/** Keys and values of one layer. Rows are tokens: `[rows, kvHeads, headDim]` f32. */
export interface LayerRows {
  readonly key: string;
  readonly value: string;
}

/** Inputs and attributes of a GroupQueryAttention node that the rewriting depends on. */
interface GroupQuery {
  readonly query: string;
  /** Empty when `query` holds q, k and v side by side. */
  readonly key: string;
  readonly value: string;
  readonly cosCache: string;
  readonly sinCache: string;
  readonly rotate: boolean;
  readonly interleaved: boolean;
  readonly scale: number;
  /** It sees `config.local.window` positions only. */
  readonly isLocal: boolean;
}

/**
 * Replaces one GroupQueryAttention node by attention over two stretches of keys and values: `past`, fixed for the whole
 * call, and `recent`, the few rows behind it and those this call has added so far. GroupQueryAttention joins past and
 * present in a fresh buffer for each token; here the past is read where it lies, however long it is, and only the few
 * recent rows grow. Softmax runs over both stretches together, so the result is the same attention.
 *
 * Returns this iteration's S rows and the recent rows with them appended; writes the node's first output.
 */
export function writeSplitAttention(
  list: NodeList,
  node: onnx.NodeProto,
  config: DecoderConfig,
  past: LayerRows,
  recent: LayerRows,
  step: AttentionStep,
): { readonly fresh: LayerRows; readonly recent: LayerRows } {
  const { headCount: H, kvHeadCount: KV, headDim } = config;
  const c = list.constants;
  const gqa = readGroupQuery(node, config);
  const rotaryDim = rotaryDimOf(config);
  const microsoft = (attributes: Record<string, number | { float: number }>) => ({
    domain: microsoftDomain,
    attributes,
  });
  const rotate = (x: string, heads: number): string =>
    gqa.rotate
      ? list.add(
          'RotaryEmbedding',
          [x, step.position, gqa.cosCache, gqa.sinCache],
          microsoft({
            interleaved: Number(gqa.interleaved),
            num_heads: heads,
            rotary_embedding_dim: rotaryDim === headDim ? 0 : rotaryDim,
          }),
        )
      : x;

  let [q, k, v] = [gqa.query, gqa.key, gqa.value];
  if (k === '') {
    const rotated = (H + KV) * headDim;
    const [qk, packedValue] = list.addMany('Split', [q, c.i64([rotated, KV * headDim])], 2, {
      attributes: { axis: 2 },
    }) as [string, string];
    [q, k] = list.addMany('Split', [rotate(qk, H + KV), c.i64([H * headDim, KV * headDim])], 2, {
      attributes: { axis: 2 },
    }) as [string, string];
    v = packedValue;
  } else {
    q = rotate(q, H);
    k = rotate(k, KV);
  }

  const rows = c.i64([-1, KV, headDim]);
  const fresh = { key: list.add('Reshape', [k, rows]), value: list.add('Reshape', [v, rows]) };
  const append = (before: string, x: string) => list.add('Concat', [before, x], { attributes: { axis: 0 } });
  const key = append(recent.key, fresh.key);
  const value = append(recent.value, fresh.value);

  // [1, S, H * headDim] -> [S, H, headDim] -> [H, S, headDim] -> [KV, group * S, headDim]
  const perHead = list.add('Transpose', [list.add('Reshape', [q, c.i64([-1, H, headDim])])], {
    attributes: { perm: [1, 0, 2] },
  });
  const grouped = list.add('Reshape', [perHead, c.i64([KV, -1, headDim])]);

  // transBatch reads [rows, KV, headDim] as KV matrices without moving anything.
  const score = (keys: string) =>
    list.add(
      'FusedMatMul',
      [grouped, keys],
      microsoft({ transB: 1, transBatchB: 1, alpha: { float: gqa.scale } }),
    );
  const blend = (weights: string, values: string) =>
    list.add('FusedMatMul', [weights, values], microsoft({ transBatchB: 1 }));
  const scores = list.add('Concat', [score(past.key), score(key)], { attributes: { axis: 2 } });
  const mask = gqa.isLocal ? step.localMask! : step.mask;
  const weights = list.add('Softmax', [list.add('Add', [scores, mask])], { attributes: { axis: -1 } });
  const [pastWeights, recentWeights] = list.addMany('Split', [weights, step.stretches], 2, {
    attributes: { axis: 2 },
  }) as [string, string];
  const mixed = list.add('Add', [blend(pastWeights, past.value), blend(recentWeights, value)]);

  // [KV, group * S, headDim] -> [H, S, headDim] -> [S, H, headDim] -> [1, S, H * headDim]
  const byHead = list.add('Reshape', [mixed, c.i64([H, -1, headDim])]);
  const byRow = list.add('Transpose', [byHead], { attributes: { perm: [1, 0, 2] } });
  list.add('Reshape', [byRow, c.i64([1, -1, H * headDim])], { outputs: [node.output[0]!] });
  return { fresh, recent: { key, value } };
}

/** Reads the node; CheckpointError when it asks for something this attention does not do. */
function readGroupQuery(node: onnx.NodeProto, config: DecoderConfig): GroupQuery {
  const input = (i: number) => node.input[i] ?? '';
  const find = (name: string) => node.attribute.find((a) => a.name === name);
  const int = (name: string, otherwise: number) => Number(find(name)?.i ?? otherwise);
  const float = (name: string) => find(name)?.f ?? 0;
  const refuse = (what: string): never => {
    throw new CheckpointError(`attention with ${what} cannot be run`, {
      where: `onnx/model.onnx, node ${node.name}`,
      fix: 'export the model again with `edgedesk compress`',
    });
  };
  if (int('num_heads', 0) !== config.headCount || int('kv_num_heads', 0) !== config.kvHeadCount) {
    refuse(
      `${int('num_heads', 0)}/${int('kv_num_heads', 0)} heads (config.json says ${config.headCount}/${config.kvHeadCount})`,
    );
  }
  const window = int('local_window_size', -1);
  if (window !== -1 && window !== config.local?.window) {
    refuse(`a window of ${window} positions (the manifest says ${config.local?.window ?? 'none'})`);
  }
  if (float('softcap') !== 0) refuse('capped scores');
  if (int('smooth_softmax', 0) > 0 || input(11) !== '') refuse('an attention sink');
  if (input(10) !== '') refuse('an attention bias');
  if ((input(1) === '') !== (input(2) === '')) refuse('only one of key and value');
  const rotate = int('do_rotary', 0) === 1;
  if (rotate && (input(7) === '' || input(8) === '')) refuse('no rotation tables');
  const scale = float('scale');
  return {
    query: input(0),
    key: input(1),
    value: input(2),
    cosCache: input(7),
    sinCache: input(8),
    rotate,
    interleaved: int('rotary_interleaved', 0) === 1,
    scale: scale === 0 ? 1 / Math.sqrt(config.headDim) : scale,
    isLocal: window !== -1,
  };
}
