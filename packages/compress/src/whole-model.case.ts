import { decoder, expandLowering, logitsHead, weightShapes } from '@edgedesk/models';
import type { OrtBackend, Tensor, Value } from '@edgedesk/tensor';
import { DifferentiableGraph, encodeModel, tensor } from '@edgedesk/tensor';
import type { Calibration } from './calibration/calibration.js';
import type { Model } from './model.js';
import { denseWeight } from './model.js';

/** Computes log-probabilities of a whole model at once, `[tokens, vocab]`, some of its weights replaced. */
export async function wholeModel(of: Model, { ids, segments, seq }: Calibration, backend: OrtBackend) {
  const tokens = ids.length;
  const batch = tokens / seq;
  const g = new DifferentiableGraph();
  const feeds: Record<string, Tensor> = {
    token_ids: tensor.i64([...ids], [tokens]),
    segment_ids: tensor.i64([...segments], [batch, seq]),
  };
  const values = new Map<string, Value>();
  for (const [name, dims] of weightShapes(of.config)) {
    const slot = of.linears.get(name);
    values.set(name, g.input(name, 'f32', dims));
    feeds[name] = tensor.f32(slot ? denseWeight(await slot.read()) : await of.readVector(name), dims);
  }
  const ops = expandLowering(g, of.config, {
    batch,
    seq,
    tokenIds: g.input('token_ids', 'i64', [tokens]),
    segmentIds: g.input('segment_ids', 'i64', [batch, seq]),
    weight: (name) => values.get(name)!,
    head: logitsHead(g),
  });
  const logits = decoder(of.config, ops);
  g.output(
    g.node('LogSoftmax', [logits], { dtype: 'f32', shape: logits.shape }, { attributes: { axis: -1 } }),
    'y',
  );
  const session = await backend.createSession(encodeModel(g), { threads: 1 });
  return async (changed: Readonly<Record<string, Float32Array>> = {}): Promise<Float32Array> => {
    const replaced = Object.entries(changed).map(([name, data]) => [
      name,
      tensor.f32(data, feeds[name]!.shape),
    ]);
    const { y } = await session.run({
      ...feeds,
      ...(Object.fromEntries(replaced) as Record<string, Tensor>),
    });
    return y!.data as Float32Array;
  };
}
