import type { DecoderConfig, LinearRole } from '../config.js';
import { feedForwardNorm, weightName } from '../config.js';

/**
 * The composite operators a decoder is made of. Written against this interface once, the decoder is lowered twice:
 * `expand` gives differentiable primitives for training and calibration, `fuse` gives ONNX Runtime's fused
 * operators for inference.
 *
 * `V` is a value of the target graph; `G` is the joint result of linear layers that read the same input, which a
 * lowering may keep packed as one value.
 */
export interface Composites<V, G> {
  /** Embedding rows of the input ids, times the embedding scale. */
  embed(weight: string): V;
  /** RMSNorm of `x`. */
  norm(x: V, weight: string): V;
  /** `sum = residual + delta` and its RMSNorm. */
  addNorm(residual: V, delta: V, weight: string): { sum: V; normed: V };
  /** Linear layers that share the input `x`. */
  project(x: V, layer: number, roles: readonly LinearRole[]): G;
  /** Rotary, causal, grouped-query attention over the projected q, k and v, before the output projection. */
  attention(qkv: G, layer: number): V;
  /** activation(gate) * up. */
  gated(gateUp: G): V;
  linear(x: V, layer: number, role: LinearRole): V;
  /** Called where only some rows matter from here on (the last block, before its output projection). */
  selectRows(x: V): V;
  /** Final hidden states to the lowering's result: logits, or a loss. */
  head(normed: V): V;
}

/**
 * The Llama-shaped decoder: pre-norm blocks of rotary grouped-query attention and a gated feed-forward layer. Bias on
 * q/k/v, norms on q/k, windows and kinds of rotation are properties of `project` and `attention` and follow the config
 * there.
 */
export function decoder<V, G>(config: DecoderConfig, ops: Composites<V, G>): V {
  const outputNorm = (x: V, weight: string): V => (config.outputNorms ? ops.norm(x, weight) : x);
  let residual = ops.embed(weightName.embedding);
  let normed = ops.norm(residual, weightName.inputNorm(0));
  for (let layer = 0; layer < config.layerCount; layer++) {
    const last = layer === config.layerCount - 1;
    let attended = ops.attention(ops.project(normed, layer, ['q', 'k', 'v']), layer);
    if (last) {
      attended = ops.selectRows(attended);
      residual = ops.selectRows(residual);
    }
    const fromAttention = outputNorm(ops.linear(attended, layer, 'o'), weightName.postAttentionNorm(layer));
    const afterAttention = ops.addNorm(residual, fromAttention, feedForwardNorm(config, layer));
    const gated = ops.gated(ops.project(afterAttention.normed, layer, ['gate', 'up']));
    const fromGated = outputNorm(ops.linear(gated, layer, 'down'), weightName.postFeedForwardNorm(layer));
    const next = last ? weightName.finalNorm : weightName.inputNorm(layer + 1);
    ({ sum: residual, normed } = ops.addNorm(afterAttention.sum, fromGated, next));
  }
  return ops.head(normed);
}
