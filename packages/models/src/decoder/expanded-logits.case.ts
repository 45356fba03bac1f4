import { DifferentiableGraph, encodeModel, tensor, type Shape, type Tensor, type Value } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { type DecoderConfig, weightShapes } from '../config.js';
import { decoder } from './decoder.js';
import { expandLowering, logitsHead } from './expand.js';

/** Logits `[ids, vocab]` of one row of tokens by the differentiable lowering; all of one segment unless told. */
export async function expandedLogits(
  config: DecoderConfig,
  weight: (name: string, shape: Shape) => Float32Array | Promise<Float32Array>,
  ids: readonly number[],
  segments: readonly number[] = ids.map(() => 0),
): Promise<Float32Array> {
  const g = new DifferentiableGraph();
  const feeds: Record<string, Tensor> = {
    token_ids: tensor.i64(ids, [ids.length]),
    segment_ids: tensor.i64(segments, [1, ids.length]),
  };
  const values = new Map<string, Value>();
  for (const [name, shape] of weightShapes(config)) {
    values.set(name, g.input(name, 'f32', shape));
    feeds[name] = tensor.f32(await weight(name, shape), shape);
  }
  const lowering = expandLowering(g, config, {
    batch: 1,
    seq: ids.length,
    tokenIds: g.input('token_ids', 'i64', [ids.length]),
    segmentIds: g.input('segment_ids', 'i64', [1, ids.length]),
    weight: (name) => values.get(name)!,
    head: logitsHead(g),
  });
  g.output(decoder(config, lowering), 'logits');
  const session = await nodeBackend().createSession(encodeModel(g), { threads: 1 });
  const { logits } = await session.run(feeds);
  await session.release();
  return logits!.data as Float32Array;
}
