import type { DecoderConfig } from '@edgedesk/models';
import { isLocal } from '@edgedesk/models';
import type { OrtBackend, Session } from '@edgedesk/tensor';
import { tensor } from '@edgedesk/tensor';
import type { Matrix } from '../linear-algebra/gemm.js';
import type { Calibration } from '../calibration/calibration.js';
import { rowCount } from '../calibration/calibration.js';
import { blockConfig, blockWeights, partModel, wire } from '../sweep/block-graph.js';
import { embeddingRows, firstStream } from '../sweep/embedding-rows.js';

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
 * through a block one after another while its weights are in memory. `release` frees the sessions.
 */
export class ProbeStreams {
  private readonly batch: number;
  private readonly feeds: Readonly<Record<string, ReturnType<typeof tensor.i64>>>;
  private readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** Of local and of global blocks. */
  private readonly sessions = new Map<boolean, Promise<Session>>();

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
    return this.behind(this.rows(embedding));
  }

  /** The stream before the first block from rows that were looked up; takes them over. */
  behind({ data }: Matrix): Float32Array {
    return firstStream(this.config, data);
  }

  /** The rows of the embedding that the text looks up, a row a token. */
  rows(embedding: Float32Array): Matrix {
    const { hiddenSize } = this.config;
    const { ids } = this.text;
    return { rows: ids.length, columns: hiddenSize, data: embeddingRows(ids, embedding, hiddenSize) };
  }

  /** `stream` behind block `layer` with these weights (by their names in layer 0), a fresh array. */
  async advance(
    stream: Float32Array,
    layer: number,
    weights: ReadonlyMap<string, Float32Array>,
  ): Promise<Float32Array> {
    const session = await this.session(layer);
    const wanted = new Set(session.inputNames);
    const shape = [this.batch * this.text.seq, this.config.hiddenSize];
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
    for (const session of this.sessions.values()) await (await session).release();
  }

  private session(layer: number): Promise<Session> {
    const config = blockConfig(this.config, layer);
    const local = isLocal(config, 0);
    const { batch } = this;
    const { seq } = this.text;
    const session =
      this.sessions.get(local) ??
      this.backend.createSession(partModel(config, 'block', { batch, seq }, null, true), {
        threads: this.threads,
        spin: false,
      });
    this.sessions.set(local, session);
    return session;
  }
}
