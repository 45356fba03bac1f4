import type { RopeScaling } from './rotary/rope-scaling.js';

/** Hugging Face's `model_type` of the families that we read. */
export const modelTypes = ['llama', 'mistral', 'qwen2', 'qwen3', 'gemma3_text', 'phi3'] as const;
export type ModelType = (typeof modelTypes)[number];

/** Layers that see only what is near (sliding windows: Beltagy et al. 2020, section 3.1). */
export interface LocalAttention {
  /** Positions that a query sees, its own included. */
  readonly window: number;
  /** By layer: whether it is local. */
  readonly layers: readonly boolean[];
  /** Base of their own, plain rotation (Gemma 3); absent where they rotate as the other layers. */
  readonly ropeTheta?: number | undefined;
}

/**
 * Shape of a decoder, in our own words; `parseConfig` reads it from a Hugging Face `config.json` and
 * `configJson` writes it back.
 */
export interface DecoderConfig {
  /** Hugging Face `model_type`: which names and defaults the checkpoint uses. */
  readonly modelType: ModelType;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layerCount: number;
  readonly headCount: number;
  /** Key/value heads; divides headCount (grouped-query attention). */
  readonly kvHeadCount: number;
  readonly headDim: number;
  readonly contextLength: number;
  readonly ropeTheta: number;
  readonly normEpsilon: number;
  /** The output head is the embedding matrix. */
  readonly tiedEmbedding: boolean;
  /** Bias on the q, k and v projections (Qwen2). */
  readonly qkvBias: boolean;
  /** RMSNorm over each head of q and k before rotation (Qwen3). */
  readonly qkNorm: boolean;
  /** Leading dimensions of a head that are rotated, an even number. @default headDim */
  readonly rotaryDim?: number | undefined;
  /** @default plain frequencies */
  readonly ropeScaling?: RopeScaling | undefined;
  /** @default all layers see all that came before */
  readonly local?: LocalAttention | undefined;
  /** Factor of q k^T. @default 1 / sqrt(headDim) */
  readonly attentionScale?: number | undefined;
  /** Factor of the embeddings. @default 1 */
  readonly embeddingScale?: number | undefined;
  /** What the feed-forward layers' gate goes through; `gelu` is its tanh form. @default 'silu' */
  readonly activation?: 'silu' | 'gelu' | undefined;
  /** RMSNorms also behind attention and feed-forward layers, before their sums (Gemma 3). @default false */
  readonly outputNorms?: boolean | undefined;
  readonly bosTokenId: number | null;
  /** All ids that end a reply. */
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
}

/** The linear layers of one block, by their role. */
export const linearRoles = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] as const;
export type LinearRole = (typeof linearRoles)[number];

const rolePath: Readonly<Record<LinearRole, string>> = {
  q: 'self_attn.q_proj',
  k: 'self_attn.k_proj',
  v: 'self_attn.v_proj',
  o: 'self_attn.o_proj',
  gate: 'mlp.gate_proj',
  up: 'mlp.up_proj',
  down: 'mlp.down_proj',
};

/**
 * Weight names as in Hugging Face safetensors of Llama's and Gemma's families. Linear weights are `[out, in]`, norms are
 * factors; families that store them otherwise are brought to this on reading (`checkpoint/stored-weights.ts`).
 */
export const weightName = {
  embedding: 'model.embed_tokens.weight',
  finalNorm: 'model.norm.weight',
  head: 'lm_head.weight',
  inputNorm: (layer: number) => `model.layers.${layer}.input_layernorm.weight`,
  /** Before the feed-forward layers or, with output norms, behind attention. */
  postAttentionNorm: (layer: number) => `model.layers.${layer}.post_attention_layernorm.weight`,
  /** Only with output norms. */
  preFeedForwardNorm: (layer: number) => `model.layers.${layer}.pre_feedforward_layernorm.weight`,
  /** Only with output norms. */
  postFeedForwardNorm: (layer: number) => `model.layers.${layer}.post_feedforward_layernorm.weight`,
  linear: (layer: number, role: LinearRole) => `model.layers.${layer}.${rolePath[role]}.weight`,
  bias: (layer: number, role: LinearRole) => `model.layers.${layer}.${rolePath[role]}.bias`,
  qNorm: (layer: number) => `model.layers.${layer}.self_attn.q_norm.weight`,
  kNorm: (layer: number) => `model.layers.${layer}.self_attn.k_norm.weight`,
};

/** The norm of what the feed-forward layers read. */
export function feedForwardNorm(config: DecoderConfig, layer: number): string {
  return config.outputNorms ? weightName.preFeedForwardNorm(layer) : weightName.postAttentionNorm(layer);
}

/** Whether the layer sees a window only. */
export function isLocal(config: DecoderConfig, layer: number): boolean {
  return config.local?.layers[layer] ?? false;
}

/** `[out, in]` of a block's linear layer. */
export function linearShape(config: DecoderConfig, role: LinearRole): readonly [number, number] {
  const { hiddenSize, intermediateSize, headDim, headCount, kvHeadCount } = config;
  switch (role) {
    case 'q':
      return [headCount * headDim, hiddenSize];
    case 'k':
    case 'v':
      return [kvHeadCount * headDim, hiddenSize];
    case 'o':
      return [hiddenSize, headCount * headDim];
    case 'gate':
    case 'up':
      return [intermediateSize, hiddenSize];
    case 'down':
      return [hiddenSize, intermediateSize];
  }
}

/** Every weight of the model with its shape, in checkpoint order. A tied head is not listed. */
export function weightShapes(config: DecoderConfig): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  shapes.set(weightName.embedding, [config.vocabSize, config.hiddenSize]);
  for (let layer = 0; layer < config.layerCount; layer++) {
    shapes.set(weightName.inputNorm(layer), [config.hiddenSize]);
    for (const role of ['q', 'k', 'v'] as const) {
      shapes.set(weightName.linear(layer, role), linearShape(config, role));
      if (config.qkvBias) shapes.set(weightName.bias(layer, role), [linearShape(config, role)[0]]);
    }
    if (config.qkNorm) {
      shapes.set(weightName.qNorm(layer), [config.headDim]);
      shapes.set(weightName.kNorm(layer), [config.headDim]);
    }
    shapes.set(weightName.linear(layer, 'o'), linearShape(config, 'o'));
    shapes.set(weightName.postAttentionNorm(layer), [config.hiddenSize]);
    if (config.outputNorms) shapes.set(weightName.preFeedForwardNorm(layer), [config.hiddenSize]);
    for (const role of ['gate', 'up', 'down'] as const) {
      shapes.set(weightName.linear(layer, role), linearShape(config, role));
    }
    if (config.outputNorms) shapes.set(weightName.postFeedForwardNorm(layer), [config.hiddenSize]);
  }
  shapes.set(weightName.finalNorm, [config.hiddenSize]);
  if (!config.tiedEmbedding) shapes.set(weightName.head, [config.vocabSize, config.hiddenSize]);
  return shapes;
}
