import type { DecoderConfig } from '@edgedesk/models';
import { decoder, expandLowering, weightName, weightShapes } from '@edgedesk/models';
import type { Value } from '@edgedesk/tensor';
import { DifferentiableGraph, encodeModel } from '@edgedesk/tensor';

/** The weight that turns a model's final hidden states into logits, `[vocab, hidden]`. */
export const headOf = (config: DecoderConfig): string =>
  config.tiedEmbedding ? weightName.embedding : weightName.head;

/**
 * A teacher's forward pass as an ONNX model: inputs as in `TrainingGraph` without targets, output `hidden` f32
 * `[lossRows, hidden]`, what its head reads at the rows that carry loss. Logits are made in the student's graph, a chunk
 * of rows at a time.
 */
export function buildTeacherGraph(
  config: DecoderConfig,
  { batch, seq, lossRows }: { readonly batch: number; readonly seq: number; readonly lossRows: number },
): Uint8Array<ArrayBuffer> {
  const g = new DifferentiableGraph();
  const values = new Map<string, Value>();
  for (const [name, shape] of weightShapes(config)) values.set(name, g.input(name, 'f32', shape));
  const lowering = expandLowering(g, config, {
    batch,
    seq,
    tokenIds: g.input('token_ids', 'i64', [batch * seq]),
    segmentIds: g.input('segment_ids', 'i64', [batch, seq]),
    weight: (name) => values.get(name)!,
    rows: g.input('loss_rows', 'i64', [lossRows]),
    head: (hidden) => hidden,
  });
  g.output(decoder(config, lowering), 'hidden');
  return encodeModel(g, { inPlaceOutputs: true });
}
