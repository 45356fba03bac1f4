import { CheckpointError, type onnx } from '@edgedesk/tensor';
import { plainName, type PlainDecoder } from './plain-decoder.js';

/** Nodes of a plain decoder, sorted by where they go when the loop is put around it. All in execution order. */
export interface BodyNodes {
  /** Depend on weights only: they stay outside the loop, where they are folded once at load. */
  readonly constant: readonly onnx.NodeProto[];
  /** Run in each iteration. */
  readonly body: readonly onnx.NodeProto[];
  readonly frontier: RowFrontier;
}

/** Where only some of the prompt's rows go on: everything after it treats each row alone. */
export interface RowFrontier {
  /** Values `[1, S, ...]` to cut to the wanted rows. */
  readonly values: ReadonlySet<string>;
  /** The nodes that read the cut values. */
  readonly readers: ReadonlySet<onnx.NodeProto>;
}

/** Operators that compute each row of `[1, S, ...]` from that row and from weights. */
const rowWise = new Set([
  'Add',
  'Cast',
  'FastGelu',
  'Gelu',
  'Gemm',
  'Identity',
  'MatMul',
  'MatMulNBits',
  'Mul',
  'QuickGelu',
  'RMSNormalization',
  'Sigmoid',
  'SimplifiedLayerNormalization',
  'SkipSimplifiedLayerNormalization',
  'Split',
  'Swish',
]);

/**
 * Sorts the nodes that the logits need. Attention nodes count as reading their query, key and value only, since the
 * rewriting drops what else they read. CheckpointError when the logits do not depend on all of them.
 */
export function sortNodes(plain: PlainDecoder): BodyNodes {
  const { graph, attention } = plain;
  const isAttention = new Set<onnx.NodeProto>(attention);
  const reads = (node: onnx.NodeProto): string[] =>
    (isAttention.has(node) ? [0, 1, 2, 7, 8].map((i) => node.input[i] ?? '') : node.input).filter(
      (x) => x !== '',
    );

  const needed = new Set<string>([plainName.logits]);
  const kept = graph.node
    .slice()
    .reverse()
    .filter((node) => {
      if (!node.output.some((o) => needed.has(o))) return false;
      for (const input of reads(node)) needed.add(input);
      return true;
    })
    .reverse();

  const weights = new Set(graph.initializer.map((t) => t.name));
  const constant: onnx.NodeProto[] = [];
  const body: onnx.NodeProto[] = [];
  for (const node of kept) {
    if (reads(node).every((input) => weights.has(input))) {
      constant.push(node);
      for (const output of node.output) weights.add(output);
    } else {
      body.push(node);
    }
  }
  if (!attention.every((node) => body.includes(node))) {
    throw new CheckpointError('the logits do not depend on every attention node', {
      where: 'onnx/model.onnx',
      fix: 'export the model again with `edgedesk compress`',
    });
  }
  return { constant, body, frontier: frontier(body, attention.at(-1)!, weights) };
}

/** Right after the last attention when all that follows is row-wise, else before the head. */
function frontier(
  body: readonly onnx.NodeProto[],
  last: onnx.NodeProto,
  weights: ReadonlySet<string>,
): RowFrontier {
  const produced = new Set<string>([last.output[0]!]);
  const values = new Set<string>([last.output[0]!]);
  const readers = new Set<onnx.NodeProto>();
  const first = last.output[0]!;
  for (const node of body) {
    if (node === last || !node.input.some((input) => produced.has(input))) continue;
    if (!rowWise.has(node.opType)) {
      const head = body.find((n) => n.output.includes(plainName.logits))!;
      return { values: new Set([head.input[0]!]), readers: new Set([head]) };
    }
    readers.add(node);
    for (const input of node.input) {
      if (input !== '' && input !== first && !produced.has(input) && !weights.has(input)) values.add(input);
    }
    for (const output of node.output) if (output !== '') produced.add(output);
  }
  return { values, readers };
}
