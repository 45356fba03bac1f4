import type { DecoderConfig, NBitFormat, NBitLinear } from '@edgedesk/models';
import { formatOf, groupsPerRow } from '@edgedesk/models';
import type { OrtBackend, Session, Tensor } from '@edgedesk/tensor';
import { elementCount, tensor } from '@edgedesk/tensor';
import {
  gradientOf,
  gridInputs,
  gridTensors,
  latentWeight,
  permutation,
  quantizedWeight,
  streamOf,
} from '@edgedesk/train';
import { blockConfig } from '../sweep/block-graph.js';
import { tunedInputs, tuningGraph, tuningWire } from './tuning-graph.js';
import type { TuningShape } from './tuning-graph.js';

/** A block whose linear layers are quantized, and what it should do. */
export interface BlockToRefine {
  readonly layer: number;
  /** Full-precision weights of the block by their names in layer 0. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** Quantized linear layers by their names in layer 0. */
  readonly linears: ReadonlyMap<string, NBitLinear>;
  /** What the blocks before it, quantized, hand on: `[tokens, hidden]` a batch. */
  readonly inputs: readonly Float32Array[];
  /** What the full-precision block makes of full-precision inputs. */
  readonly targets: readonly Float32Array[];
  /** `[batch, seq]` a batch. */
  readonly segments: readonly BigInt64Array[];
  readonly batch: number;
  readonly seq: number;
}

/** Each step moves less the more there are: beyond this nothing is gained. */
export const maxRefineSteps = 10_000;
/** Raise when the same block gives other bytes. */
export const refinementVersion = 1;

/** Levels that a weight may travel in all, as in AutoRound: half of one, the rate falling to 0. */
const rateSum = 0.5;
/** A scale's relative rate beside a weight's: searched scales are good, so they travel 5 % at most. */
const gainRate = 0.1;
/** One batch in so many, and at least one, is not tuned on but judges; of fewer than four batches all do both. */
const judgedShare = 8;
const minJudgedOf = 4;
const seed = 1;

/**
 * Tunes the rounding and the scales of a quantized block against the outputs of the full-precision one: AutoRound (Cheng et
 * al. 2023, "Optimize Weight Rounding via Signed Gradient Descent"), from levels that another algorithm has found.
 *
 *   w <- w - r |s| sign(dL/dw),  gain <- gain - r / 10 sign(dL/dgain),  r falls linearly from 1 / steps to 0
 *
 * L is the mean over tokens of |block(x) - y|^2 / |y|^2: a norm follows, so errors count relative to their token, and the
 * few tokens with huge activations do not outweigh the rest. Some batches are left out of the tuning, and where they see no
 * gain the layers stay as they were. Same inputs, same bytes. Call `release` when done.
 */
export class BlockRefiner {
  readonly #sessions = new Map<string, Session>();

  constructor(
    private readonly config: DecoderConfig,
    private readonly steps: number,
    private readonly backend: OrtBackend,
    private readonly threads: number,
    private readonly signal: AbortSignal | undefined,
  ) {}

  async refine(block: BlockToRefine): Promise<ReadonlyMap<string, NBitLinear>> {
    const config = blockConfig(this.config, block.layer);
    const formats = new Map(
      [...block.linears].map(([name, linear]) => [name, formatOf(linear) as NBitFormat]),
    );
    const shape = { batch: block.batch, seq: block.seq, formats };
    const tuned = new Map<string, Tensor>();
    for (const [name, dims] of tunedInputs(config, shape)) {
      const linear = block.linears.get(name);
      const data = linear
        ? latentWeight(block.weights.get(name)!, linear)
        : new Float32Array(elementCount(dims));
      tuned.set(name, tensor.f32(data, dims));
    }
    const feeds: Record<string, Tensor> = {
      ...Object.fromEntries(gridTensors({ linears: block.linears, learnScales: true })),
      ...Object.fromEntries(tuned),
    };
    const count = block.inputs.length;
    const judged = count < minJudgedOf ? 0 : Math.max(1, Math.floor(count / judgedShare));
    const training = count - judged;
    const judge = async (): Promise<number> => {
      const session = await this.#session(config, shape, 'evaluate');
      let sum = 0;
      for (let i = judged > 0 ? training : 0; i < count; i++) {
        this.signal?.throwIfAborted();
        sum += await this.#run(session, block, i, feeds, {});
      }
      return sum;
    };

    const before = await judge();
    const session = await this.#session(config, shape, 'train');
    const gradients = new Map([...tuned].map(([name, { shape: dims }]) => [name, tensor.zeros(dims)]));
    const outputs = Object.fromEntries([...gradients].map(([name, t]) => [gradientOf(name), t]));
    let order: Uint32Array = new Uint32Array();
    for (let step = 0; step < this.steps; step++) {
      this.signal?.throwIfAborted();
      const at = step % training;
      if (at === 0) order = permutation(training, seed, streamOf(`refine ${block.layer}`, step));
      await this.#run(session, block, order[at]!, feeds, outputs);
      const rate = ((2 * rateSum) / this.steps) * (1 - step / this.steps);
      for (const [name, linear] of block.linears) {
        const { gain } = gridInputs(name);
        moveWeights(numbers(tuned, name), numbers(gradients, name), linear, rate);
        moveGains(numbers(tuned, gain), numbers(gradients, gain), rate * gainRate);
      }
    }
    if (!((await judge()) < before)) return block.linears;
    return new Map(
      [...block.linears].map(([name, linear]) => [
        name,
        quantizedWeight(numbers(tuned, name), linear, numbers(tuned, gridInputs(name).gain)),
      ]),
    );
  }

  async release(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const session of sessions) await session.release();
  }

  /** Mean over the batch's tokens of their relative squared error. */
  async #run(
    session: Session,
    block: BlockToRefine,
    index: number,
    weights: Readonly<Record<string, Tensor>>,
    gradients: Readonly<Record<string, Tensor>>,
  ): Promise<number> {
    const { hiddenSize } = this.config;
    const { batch, seq } = block;
    const target = block.targets[index]!;
    const loss = tensor.zeros([]);
    const wanted = new Set(session.inputNames);
    const plain = [...block.weights].filter(([name]) => wanted.has(name) && !(name in weights));
    await session.runInto(
      {
        ...Object.fromEntries(plain.map(([name, data]) => [name, tensor.f32(data, [data.length])])),
        ...weights,
        [tuningWire.hidden]: tensor.f32(block.inputs[index]!, [batch * seq, hiddenSize]),
        [tuningWire.target]: tensor.f32(target, [batch * seq, hiddenSize]),
        [tuningWire.tokenWeights]: tensor.f32(tokenWeights(target, hiddenSize), [batch * seq, 1]),
        [tuningWire.segments]: tensor.i64(block.segments[index]!, [batch, seq]),
      },
      { [tuningWire.loss]: loss, ...gradients },
    );
    return (loss.data as Float32Array)[0]!;
  }

  async #session(config: DecoderConfig, shape: TuningShape, mode: 'train' | 'evaluate'): Promise<Session> {
    const key = JSON.stringify([mode, shape.batch, shape.seq, [...shape.formats], config.local?.layers]);
    const known = this.#sessions.get(key);
    if (known) return known;
    const model = tuningGraph(config, shape, mode);
    const session = await this.backend.createSession(model, { threads: this.threads, spin: false });
    this.#sessions.set(key, session);
    return session;
  }
}

const numbers = (tensors: ReadonlyMap<string, Tensor>, name: string): Float32Array =>
  tensors.get(name)!.data as Float32Array;

/** 1 / (tokens |y|^2) of each token, so that the weighted sum of squared errors is the mean of relative ones. */
function tokenWeights(target: Float32Array, hiddenSize: number): Float32Array {
  const tokens = target.length / hiddenSize;
  return Float32Array.from({ length: tokens }, (_, t) => {
    let square = 0;
    for (let i = t * hiddenSize; i < (t + 1) * hiddenSize; i++) square += target[i]! * target[i]!;
    return square > 0 ? 1 / (tokens * square) : 0;
  });
}

/** One step of all weights, in place; `rate` is in levels. */
function moveWeights(weight: Float32Array, gradient: Float32Array, linear: NBitLinear, rate: number): void {
  const [, columns] = linear.shape;
  const groups = groupsPerRow(columns, linear.groupSize);
  for (let at = 0; at < linear.scales.length; at++) {
    const step = rate * Math.abs(linear.scales[at]!);
    const start = Math.floor(at / groups) * columns + (at % groups) * linear.groupSize;
    const end = Math.min(start + linear.groupSize, (Math.floor(at / groups) + 1) * columns);
    for (let i = start; i < end; i++) weight[i]! -= step * Math.sign(gradient[i]!);
  }
}

function moveGains(gain: Float32Array, gradient: Float32Array, rate: number): void {
  for (let i = 0; i < gain.length; i++) gain[i]! -= rate * Math.sign(gradient[i]!);
}
