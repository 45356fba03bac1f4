import type { DecoderConfig } from '@edgedesk/models';
import type { OrtBackend, Session } from '@edgedesk/tensor';
import { DifferentiableGraph, encodeModel, op, tensor } from '@edgedesk/tensor';

/** Probabilities of all judged tokens are in memory. */
const maxJudgedBytes = 128 * 2 ** 20;

/** What a stream's distribution over the vocabulary is compared with. */
export interface OutputReference {
  /** KL(reference || model) of the next token, mean over the judged tokens, in nats. Head: `[vocab, hidden]`. */
  divergence(stream: Float32Array, head: Float32Array): Promise<number>;
  release(): Promise<void>;
}

/** Judges streams by the output of the unchanged model, whose last stream and head are given. */
export async function outputReference(
  config: DecoderConfig,
  finalNorm: Float32Array,
  reference: Float32Array,
  head: Float32Array,
  backend: OrtBackend,
  threads: number,
): Promise<OutputReference> {
  const { hiddenSize, vocabSize, normEpsilon } = config;
  const tokens = reference.length / hiddenSize;
  const judged = Math.max(1, Math.min(tokens, Math.floor(maxJudgedBytes / (4 * vocabSize))));
  const session = (withReference: boolean): Promise<Session> => {
    const g = new DifferentiableGraph();
    const hidden = g.input('hidden', 'f32', [judged, hiddenSize]);
    const normed = g.apply('rmsNorm', [hidden, g.input('norm', 'f32', [hiddenSize])], {
      epsilon: normEpsilon,
    });
    const logits = g.apply('linear', [normed, g.input('head', 'f32', [vocabSize, hiddenSize])], {});
    const output = g.node(
      'LogSoftmax',
      [logits],
      { dtype: 'f32', shape: logits.shape },
      {
        attributes: { axis: -1 },
      },
    );
    if (withReference) {
      const expected = g.input('reference', 'f32', [judged, vocabSize]);
      const off = op.mul(g, op.exp(g, expected), op.sub(g, expected, output));
      g.output(op.reduceSum(g, off, [1], false), 'divergence');
    } else g.output(output, 'logProbabilities');
    return backend.createSession(encodeModel(g), { threads, spin: false });
  };
  const inputs = (stream: Float32Array, weights: Float32Array) => {
    const hidden = new Float32Array(judged * hiddenSize);
    for (let i = 0; i < judged; i++) {
      const at = Math.floor((i * tokens) / judged) * hiddenSize;
      hidden.set(stream.subarray(at, at + hiddenSize), i * hiddenSize);
    }
    return {
      hidden: tensor.f32(hidden, [judged, hiddenSize]),
      norm: tensor.f32(finalNorm, [hiddenSize]),
      head: tensor.f32(weights, [vocabSize, hiddenSize]),
    };
  };
  const first = await session(false);
  const { logProbabilities } = await first.run(inputs(reference, head));
  await first.release();
  const judge = await session(true);
  return {
    async divergence(stream, weights) {
      const feeds = { ...inputs(stream, weights), reference: logProbabilities! };
      const { divergence } = await judge.run(feeds);
      const sum = (divergence!.data as Float32Array).reduce((a, b) => a + b, 0);
      // Rounding can leave less than nothing of a divergence that is nearly nothing.
      return Math.max(0, sum / judged);
    },
    release: () => judge.release(),
  };
}
