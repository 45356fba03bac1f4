import type { Graph, Value } from '@edgedesk/tensor';
import { microsoftDomain } from '@edgedesk/tensor';
import { type DecoderConfig, isLocal } from '../config.js';

export interface FusedAttentionInputs {
  /** `[batch, sequence, heads * headDim]`, or packed q, k, v when `key` and `value` are null. */
  readonly query: Value;
  readonly key: Value | null;
  readonly value: Value | null;
  /** Weights `[headDim]` of the RMSNorm over each head, which needs unpacked inputs. */
  readonly norms: { readonly q: Value; readonly k: Value } | null;
  /** Keys and values `[batch, kvHeads, past, headDim]`. */
  readonly past: readonly [Value, Value];
  readonly presentNames: readonly [string, string];
  readonly layer: number;
  readonly lastPosition: Value;
  readonly totalLength: Value;
  readonly cosines: Value;
  readonly sines: Value;
}

/** Rotary, causal attention with its cache: GroupQueryAttention. `attended`: `[batch, sequence, heads * headDim]`. */
export function fusedAttention(
  g: Graph,
  config: DecoderConfig,
  inputs: FusedAttentionInputs,
): { attended: Value; presentKey: Value; presentValue: Value } {
  const { headCount, kvHeadCount, headDim, attentionScale } = config;
  const { norms, past, presentNames } = inputs;
  const query = norms ? normHeads(g, config, inputs.query, norms.q, headCount) : inputs.query;
  const key = norms && inputs.key ? normHeads(g, config, inputs.key, norms.k, kvHeadCount) : inputs.key;
  const cache = { dtype: 'f32' as const, shape: ['batch_size', kvHeadCount, 'total_sequence_length', headDim] };
  const [attended, presentKey, presentValue] = g.nodeN(
    'GroupQueryAttention',
    [
      query,
      key,
      inputs.value,
      ...past,
      inputs.lastPosition,
      inputs.totalLength,
      inputs.cosines,
      inputs.sines,
    ],
    {
      domain: microsoftDomain,
      attributes: {
        num_heads: headCount,
        kv_num_heads: kvHeadCount,
        do_rotary: 1,
        rotary_interleaved: 0,
        ...(attentionScale === undefined ? {} : { scale: { float: attentionScale } }),
        ...(isLocal(config, inputs.layer) ? { local_window_size: config.local!.window } : {}),
      },
      outputs: [
        { dtype: 'f32', shape: ['batch_size', 'sequence_length', headCount * headDim] },
        { ...cache, name: presentNames[0] },
        { ...cache, name: presentNames[1] },
      ],
    },
  );
  return { attended: attended!, presentKey: presentKey!, presentValue: presentValue! };
}

/** RMSNorm over each head of `x` `[batch, sequence, heads * headDim]`. */
function normHeads(g: Graph, config: DecoderConfig, x: Value, weight: Value, heads: number): Value {
  const { headDim, normEpsilon } = config;
  const byHead = { dtype: 'f32' as const, shape: ['batch_size', 'sequence_length', heads, headDim] };
  const apart = g.node('Reshape', [x, g.i64([0, 0, heads, headDim])], byHead);
  const normed = g.node('SimplifiedLayerNormalization', [apart, weight], byHead, {
    attributes: { axis: -1, epsilon: { float: normEpsilon }, stash_type: 1 },
  });
  return g.node('Reshape', [normed, g.i64([0, 0, heads * headDim])], { dtype: 'f32', shape: x.shape });
}
