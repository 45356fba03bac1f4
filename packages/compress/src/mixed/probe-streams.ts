import type { DecoderConfig } from '@edgedesk/models';
import type { OrtBackend, Session } from '@edgedesk/tensor';
import { tensor } from '@edgedesk/tensor';
import type { Matrix } from '../linear-algebra/gemm.js';
import type { Calibration } from '../calibration/calibration.js';
import { rowCount } from '../calibration/calibration.js';
import { blockWeights, partModel, wire } from '../sweep/block-graph.js';

/** Tokens of a row that probes run on: attention has something to look at, and rows stay many. */
const probeSeq = 128;

/** The first tokens of rows spread over the calibration text, about `tokens` of them. */
export function probeText({ seq, ids, segments }: Calibration, tokens: number): Calibration {
  const length = Math.min(seq, probeSeq);
  const all = ids.length / seq;
  const rows = Math.max(1, Math.min(all, Math.round(tokens / length)));
  const pick = (from: Int32Array): Int32Array => {
    const picked = new Int32Array(rows * length);
    for (let i = 0; i < rows; i++) {
      const start = Math.floor((i * all) / rows) * seq;
      picked.set(from.subarray(start, start + length), i * length);
    }
    return picked;
  };
  return { seq: length, ids: pick(ids), segments: pick(segments) };
}

/**
 * Residual streams `[tokens, hidden]` of one text, which differ by what was changed in the model before them. They go
 * through a block one after another while its weights are in memory. `release` frees the session.
 */
export class ProbeStreams {
  private readonly batch: number;
  private readonly feeds: Readonly<Record<string, ReturnType<typeof tensor.i64>>>;
  private readonly shapes: ReadonlyMap<string, readonly number[]>;
  private session: Promise<Session> | undefined;

  constructor(
    private readonly config: DecoderConfig,
    private readonly text: Calibration,
    private readonly backend: OrtBackend,
    private readonly threads: number,
  ) {
    this.batch = rowCount(text);
    this.feeds = {
      [wire.segments]: tensor.i64(BigInt64Array.from(text.segments, BigInt), [this.batch, text.seq]),
    };
    this.shapes = blockWeights(config);
  }

  /** The stream before the first block. `embedding`: `[vocab, hidden]`. */
  embed(embedding: Float32Array): Float32Array {
    return this.rows(embedding).data;
  }

  /** The rows of the embedding that the text looks up, a row a token. */
  rows(embedding: Float32Array): Matrix {
    const { hiddenSize } = this.config;
    const { ids } = this.text;
    const data = new Float32Array(ids.length * hiddenSize);
    ids.forEach((token, i) =>
      data.set(embedding.subarray(token * hiddenSize, (token + 1) * hiddenSize), i * hiddenSize),
    );
    return { rows: ids.length, columns: hiddenSize, data };
  }

  /** `stream` behind a block with these weights (by their names in layer 0), a fresh array. */
  async advance(stream: Float32Array, weights: ReadonlyMap<string, Float32Array>): Promise<Float32Array> {
    const { batch } = this;
    const { seq } = this.text;
    this.session ??= this.backend.createSession(partModel(this.config, 'block', { batch, seq }, null, true), {
      threads: this.threads,
      spin: false,
    });
    const session = await this.session;
    const wanted = new Set(session.inputNames);
    const shape = [batch * seq, this.config.hiddenSize];
    const result = new Float32Array(stream.length);
    await session.runInto(
      {
        ...Object.fromEntries(
          [...weights]
            .filter(([name]) => wanted.has(name))
            .map(([name, data]) => [name, tensor.f32(data, this.shapes.get(name)!)]),
        ),
        ...this.feeds,
        [wire.hidden]: tensor.f32(stream, shape),
      },
      { [wire.result]: tensor.f32(result, shape) },
    );
    return result;
  }

  async release(): Promise<void> {
    await (await this.session)?.release();
  }
}
