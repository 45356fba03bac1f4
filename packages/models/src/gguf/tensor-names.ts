import {
  type DecoderConfig,
  feedForwardNorm,
  type LinearRole,
  linearRoles,
  weightName,
  weightShapes,
} from '../config.js';
import type { StoredWeight } from '../checkpoint/stored-weights.js';

const roleName: Readonly<Record<LinearRole, string>> = {
  q: 'attn_q',
  k: 'attn_k',
  v: 'attn_v',
  o: 'attn_output',
  gate: 'ffn_gate',
  up: 'ffn_up',
  down: 'ffn_down',
};

/** Phi-3's: q, k and v by rows, then gate and up. */
const jointName: typeof roleName = { ...roleName, q: 'attn_qkv', k: 'attn_qkv', v: 'attn_qkv', gate: 'ffn_up' };

/** Every weight's tensor of a GGUF file, in checkpoint order; Phi-3 has joint ones there, too. */
export function ggufLayout(config: DecoderConfig): readonly StoredWeight[] {
  const names = ggufNames(config);
  const parts = new Map<string, string[]>();
  for (const weight of weightShapes(config).keys()) {
    const name = names.get(weight)!;
    parts.set(name, [...(parts.get(name) ?? []), weight]);
  }
  return [...parts].map(([name, weights]) => ({ name, parts: weights, offset: 0 }));
}

/** llama.cpp's name of each weight, by ours. */
function ggufNames(config: DecoderConfig): ReadonlyMap<string, string> {
  const names = new Map<string, string>([
    [weightName.embedding, 'token_embd.weight'],
    [weightName.finalNorm, 'output_norm.weight'],
  ]);
  if (!config.tiedEmbedding) names.set(weightName.head, 'output.weight');
  for (let layer = 0; layer < config.layerCount; layer++) {
    const block = `blk.${layer}`;
    names.set(weightName.inputNorm(layer), `${block}.attn_norm.weight`);
    if (config.outputNorms) {
      names.set(weightName.postAttentionNorm(layer), `${block}.post_attention_norm.weight`);
      names.set(weightName.postFeedForwardNorm(layer), `${block}.post_ffw_norm.weight`);
    }
    names.set(feedForwardNorm(config, layer), `${block}.ffn_norm.weight`);
    const joint = config.modelType === 'phi3' ? jointName : roleName;
    for (const role of linearRoles) names.set(weightName.linear(layer, role), `${block}.${joint[role]}.weight`);
    if (config.qkvBias) {
      for (const role of ['q', 'k', 'v'] as const) {
        names.set(weightName.bias(layer, role), `${block}.${roleName[role]}.bias`);
      }
    }
    if (config.qkNorm) {
      names.set(weightName.qNorm(layer), `${block}.attn_q_norm.weight`);
      names.set(weightName.kNorm(layer), `${block}.attn_k_norm.weight`);
    }
  }
  return names;
}

/** The number of heads whose rows are permuted in the file, by weight; null for the others. */
export function permutedHeads(config: DecoderConfig): (name: string) => number | null {
  const heads = new Map<string, number>();
  // llama.cpp wants llama's q and k so that the two rows of a rotary pair are neighbours.
  if (config.modelType === 'llama' || config.modelType === 'mistral') {
    for (let layer = 0; layer < config.layerCount; layer++) {
      heads.set(weightName.linear(layer, 'q'), config.headCount);
      heads.set(weightName.linear(layer, 'k'), config.kvHeadCount);
    }
  }
  return (name) => heads.get(name) ?? null;
}

/** Where a stored row belongs: pair `p` of a head lies at rows 2p and 2p + 1 and belongs to p and p + headDim / 2. */
export function unpermuted(headDim: number): (row: number) => number {
  return (row) => {
    const inHead = row % headDim;
    return row - inHead + (inHead >> 1) + (inHead & 1) * (headDim / 2);
  };
}
