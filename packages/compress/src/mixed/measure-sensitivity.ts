import type { LinearRole } from '@edgedesk/models';
import { toDense, weightName } from '@edgedesk/models';
import type { Matrix } from '../linear-algebra/gemm.js';
import { Gemm } from '../linear-algebra/gemm.js';
import type { Model } from '../model.js';
import { denseWeight } from '../model.js';
import type { WeightFormat } from '../quantize/settings.js';
import { nbitFormat } from '../quantize/settings.js';
import type { GroupMethod } from '../quantize/solve-in-format.js';
import { solverFor } from '../quantize/solve-in-format.js';
import { rolesAfter } from '../sweep/block-graph.js';
import { BlockRunner } from '../sweep/block-runner.js';
import { readBlock } from '../sweep/read-block.js';
import { meanSquare, secondMoment } from '../sweep/statistic.js';
import type { SweepContext } from '../sweep/sweep.js';
import { stages } from '../sweep/sweep.js';
import { outputReference } from './output-reference.js';
import { embeddingEffect, headEffect } from './outer-weights.js';
import { ProbeStreams, probeText } from './probe-streams.js';
import type { Sensitivity, WeightSensitivity } from './sensitivity.js';
import type { Effect } from './weight-error.js';
import { outputError, quantizationError, relativeErrors, spreadRows } from './weight-error.js';

export interface SensitivityOptions {
  readonly method: GroupMethod;
  /** Ways to store a weight. */
  readonly formats: readonly WeightFormat[];
  /** Tokens that the divergence at the output is measured on. */
  readonly probeTokens: number;
}

/** How a weight is quantized to measure what it does at the output: enough to stand out, little enough to add up. */
const reference: WeightFormat = { bits: 3, groupSize: 32, asymmetric: false };
/** Rows of a weight that formats are compared on; rows do not depend on one another. */
const sampledRows = 96;

/**
 * Measures what storing each weight in each of the formats costs, in one sweep over the full-precision model.
 *
 * Each weight alone is quantized to 3 bits (embedding and head: 4), and the changed residual stream of a few hundred
 * tokens goes on beside the unchanged one through the rest of the model; the KL divergence at the output is measured, not
 * estimated. From this format to the others it is carried over in proportion to the expected squared error of the layer's
 * output, which the same method makes in each format (on a sample of rows). KL is quadratic in small errors, and errors of
 * different weights are nearly uncorrelated, so that their KLs add up: the argument of HAWQ (Dong et al. 2019) with the
 * curvature measured where it matters. Far from the format that was measured, at 2 bits, it is a rough estimate.
 *
 * Memory: one block's weights, the calibration's residual stream, and a stream of the probe's tokens for each weight.
 */
export async function measureSensitivity(
  model: Model,
  options: SensitivityOptions,
  context: SweepContext,
): Promise<Sensitivity> {
  const { calibration, backend, signal } = context;
  const threads = context.threads ?? backend.cores;
  const text = probeText(calibration, options.probeTokens);
  const embedding = denseWeight(await model.linears.get(weightName.embedding)!.read());
  const gemm = new Gemm(backend, threads);
  const probes = new ProbeStreams(model.config, text, backend, threads);
  const runner = new BlockRunner(model.config, calibration, embedding, backend, threads, signal);
  try {
    const sweep = new SensitivitySweep(model, options, context, gemm, probes, runner);
    const effects = [await embeddingEffect(model, embedding, options, probes)];
    const unchanged = await sweep.run(probes.embed(embedding), effects);
    const weights = await judge(model, options, context, effects, unchanged, runner);
    return {
      format: 1,
      model: model.name,
      method: options.method,
      probeTokens: text.ids.length,
      weights: [...model.linears.keys()].map((name) => weights.get(name)!),
    };
  } finally {
    await gemm.release();
    await probes.release();
    await runner.release();
  }
}

class SensitivitySweep {
  constructor(
    private readonly model: Model,
    private readonly options: SensitivityOptions,
    private readonly context: SweepContext,
    private readonly gemm: Gemm,
    private readonly probes: ProbeStreams,
    private readonly runner: BlockRunner,
  ) {}

  /** Takes all streams through all blocks, adds those of the blocks' weights, and returns the unchanged one. */
  async run(unchanged: Float32Array, effects: Effect[]): Promise<Float32Array> {
    const total = this.model.config.layerCount;
    const started = performance.now();
    for (let layer = 0; layer < total; layer++) {
      // There are more streams after each block, so that the work behind us grows with the square of the blocks.
      const share = (layer / total) ** 2;
      const seconds = (performance.now() - started) / 1000;
      const secondsLeft = share === 0 ? null : seconds / share - seconds;
      const weights = await readBlock(this.model, layer);
      const own = await this.ownEffects(layer, weights, unchanged, (roles) =>
        this.context.onProgress?.({ phase: 'measure', done: layer, total, roles, secondsLeft }),
      );
      for (const effect of effects) {
        this.context.signal?.throwIfAborted();
        effect.stream = await this.probes.advance(effect.stream, layer, weights);
      }
      effects.push(...own);
      unchanged = await this.probes.advance(unchanged, layer, weights);
    }
    return unchanged;
  }

  /** The streams behind a block, each with one of its weights quantized; the calibration text goes to its end too. */
  private async ownEffects(
    layer: number,
    weights: ReadonlyMap<string, Float32Array>,
    stream: Float32Array,
    report: (roles: readonly LinearRole[]) => void,
  ): Promise<Effect[]> {
    const { runner, gemm, model } = this;
    const where = `${model.name}, block ${layer}`;
    const effects: Effect[] = [];
    for (const stage of stages) {
      report(rolesAfter[stage]);
      const observed = (await runner.run(stage, weights, where, secondMoment))!;
      const solve = await solverFor(this.options.method, observed, gemm, where);
      const n = Math.sqrt(observed.length);
      const H: Matrix = { rows: n, columns: n, data: Float32Array.from(observed) };
      for (const role of rolesAfter[stage]) {
        this.context.signal?.throwIfAborted();
        const name = weightName.linear(layer, role);
        const inBlock = weightName.linear(0, role);
        const tensor = `${model.name}, tensor "${name}"`;
        const { shape } = model.linears.get(name)!;
        const weight = weights.get(inBlock)!;
        const changed = toDense(await solve(weight, shape, nbitFormat(reference), tensor));
        const sample = spreadRows(weight, shape, sampledRows);
        const errorIn = async (format: WeightFormat): Promise<number> =>
          outputError(await quantizationError(sample, solve, format, tensor), H, gemm);
        effects.push({
          name,
          bits: reference.bits,
          stream: await this.probes.advance(stream, layer, new Map(weights).set(inBlock, changed)),
          relativeErrors: await relativeErrors(this.options.formats, reference, errorIn),
        });
      }
    }
    await runner.finishBlock(weights, where);
    return effects;
  }
}

/** Compares the streams' outputs with that of the unchanged one, and the head's. */
async function judge(
  model: Model,
  options: SensitivityOptions,
  context: SweepContext,
  effects: readonly Effect[],
  unchanged: Float32Array,
  runner: BlockRunner,
): Promise<Map<string, WeightSensitivity>> {
  const { config } = model;
  const norm = await model.readVector(weightName.finalNorm);
  const headName = config.tiedEmbedding ? weightName.embedding : weightName.head;
  const head = denseWeight(await model.linears.get(headName)!.read());
  const where = `${model.name}, final norm`;
  const headInput = await runner.run('headInput', new Map([[weightName.finalNorm, norm]]), where, meanSquare);
  const threads = context.threads ?? context.backend.cores;
  const output = await outputReference(config, norm, unchanged, head, context.backend, threads);
  const found = new Map<string, WeightSensitivity>();
  const add = (effect: Omit<Effect, 'stream'>, kl: number): void => {
    const choices = options.formats.map((format, i) => ({ format, kl: kl * effect.relativeErrors[i]! }));
    const known = found.get(effect.name);
    const { shape } = model.linears.get(effect.name)!;
    found.set(effect.name, {
      name: effect.name,
      shape: [...shape],
      measured: { bits: effect.bits, kl: kl + (known?.measured.kl ?? 0) },
      // A tied embedding is looked up and is the head: two effects of one weight.
      choices: choices.map((choice, i) => ({ ...choice, kl: choice.kl + (known?.choices[i]!.kl ?? 0) })),
    });
  };
  try {
    for (const effect of effects) {
      context.signal?.throwIfAborted();
      add(effect, await output.divergence(effect.stream, head));
    }
    const { changed, ...effect } = await headEffect(model, headName, head, headInput!, options);
    add(effect, await output.divergence(unchanged, changed));
    return found;
  } finally {
    await output.release();
  }
}
