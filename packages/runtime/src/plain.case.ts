import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DecoderConfig } from '@edgedesk/models';
import { type Session, type Tensor, tensor } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';

/** The plain artefact, called the way other runtimes call it: the reference for everything the loop does. */
export class PlainStepper {
  private past: Record<string, Tensor> = {};
  length = 0;

  private constructor(
    private readonly session: Session,
    private readonly config: DecoderConfig,
  ) {
    this.reset();
  }

  static async open(folder: string, config: DecoderConfig): Promise<PlainStepper> {
    const session = await nodeBackend().createSession(await readFile(join(folder, 'onnx/model.onnx')), {
      externalData: join(folder, 'onnx'),
      threads: 1,
    });
    return new PlainStepper(session, config);
  }

  reset(): void {
    this.length = 0;
    for (let layer = 0; layer < this.config.layerCount; layer++) {
      for (const kind of ['key', 'value']) {
        this.past[`past_key_values.${layer}.${kind}`] = tensor.f32(
          [],
          [1, this.config.kvHeadCount, 0, this.config.headDim],
        );
      }
    }
  }

  /** Logits `[ids, vocab]` of the rows that `ids` add. */
  async step(ids: readonly number[]): Promise<Float32Array[]> {
    this.length += ids.length;
    const ones = new BigInt64Array(this.length).fill(1n);
    const out = await this.session.run({
      input_ids: tensor.i64(ids, [1, ids.length]),
      attention_mask: tensor.i64(ones, [1, this.length]),
      ...this.past,
    });
    for (const name of Object.keys(this.past)) {
      this.past[name] = out[name.replace('past_key_values', 'present')]!;
    }
    const { vocabSize } = this.config;
    const logits = out['logits']!.data as Float32Array;
    return ids.map((_, i) => logits.subarray(i * vocabSize, (i + 1) * vocabSize));
  }

  /** Greedy tokens one call at a time, up to and including an end token. */
  async greedy(prompt: readonly number[], count: number, endIds: readonly number[] = []): Promise<number[]> {
    this.reset();
    let logits = (await this.step(prompt)).at(-1)!;
    const tokens: number[] = [];
    for (;;) {
      const next = argmax(logits);
      tokens.push(next);
      if (tokens.length === count || endIds.includes(next)) return tokens;
      logits = (await this.step([next]))[0]!;
    }
  }

  release(): Promise<void> {
    return this.session.release();
  }
}

export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** log-softmax in float64. */
export function logSoftmax(logits: Float32Array): number[] {
  const peak = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const total = logits.reduce((sum, x) => sum + Math.exp(x - peak), 0);
  return Array.from(logits, (x) => x - peak - Math.log(total));
}
