import { weightName, weightShapes, type DecoderConfig } from '@edgedesk/models';
import type { Shape } from '@edgedesk/tensor';
import { fillNormal, streamOf } from '../random/philox.js';
import type { Initialiser } from './initial-weights.js';
import {
  constantValue,
  contentRows,
  fastPairs,
  layoutOf,
  streamSize,
  type StreamLayout,
} from './stream-layout.js';

/** Deviation of a matrix whose output should be as large as its normalized input: `gain / sqrt(in)`. */
const gains = { attention: 0.5, mlp: 1 } as const;
/** Nats by which a previous-token head prefers its offset to the neighbours of that offset. */
const offsetMargin = 7;
/** Nats of a match in an induction head, before the softmax. */
const matchScore = 16;
/** Logits that a copied token gains, by squared length of its code. */
const copyGain = 0.06;
const headDeviation = 0.01;
/** A query head, and the key/value head that it reads. */
interface HeadPlace {
  readonly layer: number;
  readonly query: number;
  readonly keyValue: number;
}

/**
 * Weights of a new model that can copy before its first step. A token that followed the present one before is found by two
 * heads in a row (induction: Olsson et al. 2022, "In-context learning and induction heads"): one in the first layer notes
 * at each position which token came before, one further up looks for the present token among those notes and copies what
 * stands there. Small models on small budgets never get to this by themselves, and without it they cannot read a passage.
 * In the manner of mimetic initialisation (Trockman and Kolter 2023) these heads are set up, and all else is as in Muon's
 * speed runs: embeddings of deviation 1, an output head near 0, and 0 for what writes into the residual stream. Nothing is
 * frozen. The residual stream has a part for the token, one coordinate that is the same for all, and parts for what the
 * heads write; heads are those of rotary attention without norms of q and k.
 *
 * @throws RecipeError for shapes that have no place for the heads: tied embeddings, one layer, one head, a small `ropeTheta`
 */
export function withCopyingHeads(config: DecoderConfig, seed: number): Initialiser {
  const layout = layoutOf(config);
  const shapes = weightShapes(config);
  const made = new Map<string, Float32Array>();
  const blank = (name: string): Float32Array => {
    const values = new Float32Array(shapes.get(name)!.reduce((a, b) => a * b, 1));
    made.set(name, values);
    return values;
  };
  const normal = (count: number, deviation: number, name: string): Float32Array => {
    const values = new Float32Array(count);
    fillNormal(values, deviation, seed, streamOf(name));
    return values;
  };

  const d = config.hiddenSize;
  const tokens = normal(config.vocabSize * layout.token, 1, weightName.embedding);
  const embedding = blank(weightName.embedding);
  for (let t = 0; t < config.vocabSize; t++) {
    embedding.set(tokens.subarray(t * layout.token, (t + 1) * layout.token), t * d);
    embedding[t * d + layout.constant] = constantValue;
  }
  for (let layer = 0; layer < config.layerCount; layer++) {
    for (const role of ['q', 'k', 'v', 'gate', 'up'] as const) {
      const name = weightName.linear(layer, role);
      const gain = role === 'gate' || role === 'up' ? gains.mlp : gains.attention;
      const values = blank(name);
      fillNormal(values, gain / Math.sqrt(d), seed, streamOf(name));
      // The constant is larger than all other coordinates and would swamp a random projection.
      for (let i = layout.constant; i < values.length; i += d) values[i] = 0;
    }
    blank(weightName.linear(layer, 'o'));
    blank(weightName.linear(layer, 'down'));
  }

  // G: what is noted of a previous token; H: what is copied of a token.
  const G = normal(layout.previousSize * layout.token, 1 / Math.sqrt(layout.token), 'copying.previous');
  const H = normal(layout.copiedSize * layout.token, 1 / Math.sqrt(layout.token), 'copying.copied');
  const matrices: Matrices = {
    config,
    layout,
    of: (layer, role) => made.get(weightName.linear(layer, role))!,
  };
  for (const offset of [1, 2] as const) notePrevious(matrices, offset, G);
  const R = (name: string): Float32Array =>
    normal(contentRows(config).length * layout.previousSize, 1 / Math.sqrt(layout.previousSize), name);
  const group = config.headCount / config.kvHeadCount;
  for (let layer = 1; layer <= 3 && layer < config.layerCount; layer++) {
    const keyValue = layer < 3 ? 0 : Math.min(1, config.kvHeadCount - 1);
    const place = { layer, keyValue, query: keyValue * group };
    const second = layer > 1 ? R(`copying.second.${layer}`) : undefined;
    copyAfterMatch(matrices, place, { G, H, first: R(`copying.first.${layer}`), second });
  }

  const head = blank(weightName.head);
  fillNormal(head, headDeviation, seed, streamOf(weightName.head));
  for (let t = 0; t < config.vocabSize; t++) {
    head[t * d + layout.constant] = 0;
    for (let row = 0; row < layout.copiedSize; row++) {
      let code = 0;
      for (let i = 0; i < layout.token; i++)
        code += H[row * layout.token + i]! * tokens[t * layout.token + i]!;
      head[t * d + layout.copied + row] = copyGain * code;
    }
  }
  return (name, shape: Shape, out) => {
    const values = made.get(name);
    if (values === undefined) out.fill(shape.length === 1 && !name.endsWith('.bias') ? 1 : 0);
    else out.set(values);
  };
}

interface Matrices {
  readonly config: DecoderConfig;
  readonly layout: StreamLayout;
  /** `[out, in]`, written in place. */
  of(layer: number, role: 'q' | 'k' | 'v' | 'o'): Float32Array;
}

/**
 * Query head `offset - 1` of the first layer: attends to the token `offset` positions back and writes G of it. q and k read
 * the constant alone, so that their product depends on the distance only: sum over pairs of cos((distance - offset) turn).
 */
function notePrevious(matrices: Matrices, offset: 1 | 2, G: Float32Array): void {
  const { config, layout } = matrices;
  const { hiddenSize: d, headDim } = config;
  const query = offset - 1;
  const place = { layer: 0, query, keyValue: Math.floor((query * config.kvHeadCount) / config.headCount) };
  const size = streamSize(config, layout, 0);
  const into = offset === 1 ? layout.previous : layout.beforePrevious;
  const { q, k } = writingHead(matrices, place, { code: G, gain: size, into });

  const fast = fastPairs(config);
  const contrast = fast.reduce((sum, { turn }) => sum + 1 - Math.cos(turn), 0);
  const w = (Math.sqrt((offsetMargin / contrast) * Math.sqrt(headDim)) * size) / constantValue;
  for (const { turn, f } of fast) {
    k[f * d + layout.constant] = w;
    q[f * d + layout.constant] = w * Math.cos(offset * turn);
    q[(f + headDim / 2) * d + layout.constant] = -w * Math.sin(offset * turn);
  }
}

interface Codes {
  readonly G: Float32Array;
  readonly H: Float32Array;
  /** Random projections of notes into the rows that carry content; `second` also matches the token before. */
  readonly first: Float32Array;
  readonly second: Float32Array | undefined;
}

/** Looks for the present token (and the one before) among the notes of earlier positions and copies the token there. */
function copyAfterMatch(matrices: Matrices, place: HeadPlace, { G, H, first, second }: Codes): void {
  const { config, layout } = matrices;
  const { hiddenSize: d, headDim } = config;
  const size = streamSize(config, layout, 2);
  const { q, k } = writingHead(matrices, place, { code: H, gain: size, into: layout.copied });

  const rows = contentRows(config);
  const s = Math.sqrt((matchScore * Math.sqrt(headDim)) / rows.length) * size;
  for (const [at, row] of rows.entries()) {
    for (let i = 0; i < layout.previousSize; i++) {
      const r = s * first[at * layout.previousSize + i]!;
      k[row * d + layout.previous + i] = r;
      for (let j = 0; j < layout.token; j++) q[row * d + j]! += r * G[i * layout.token + j]!;
      if (second === undefined) continue;
      const r2 = s * second[at * layout.previousSize + i]!;
      k[row * d + layout.beforePrevious + i] = r2;
      q[row * d + layout.previous + i] = r2;
    }
  }
}

/** What a head writes where it looks: `code` `[rows, token]` of the token there times `gain`, to the coordinates from `into` on. */
interface Writing {
  readonly code: Float32Array;
  readonly gain: number;
  readonly into: number;
}

/** Sets v and o of a head, and empties its q and k `[headDim, hidden]`, which are returned to be filled. */
function writingHead(
  { config, layout, of }: Matrices,
  { layer, query, keyValue }: HeadPlace,
  { code, gain, into }: Writing,
): { q: Float32Array; k: Float32Array } {
  const { hiddenSize: d, headDim, headCount } = config;
  const emptied = (role: 'q' | 'k' | 'v', head: number): Float32Array =>
    of(layer, role)
      .subarray(head * headDim * d, (head + 1) * headDim * d)
      .fill(0);
  const v = emptied('v', keyValue);
  const o = of(layer, 'o');
  for (let row = 0; row < code.length / layout.token; row++) {
    for (let i = 0; i < layout.token; i++) v[row * d + i] = gain * code[row * layout.token + i]!;
    o[(into + row) * (headCount * headDim) + query * headDim + row] = 1;
  }
  return { q: emptied('q', query), k: emptied('k', keyValue) };
}
