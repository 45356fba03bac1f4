import type { LinearRole, NBitLinear, Sha256 } from '@edgedesk/models';
import { linearRoles, toDense, weightName } from '@edgedesk/models';
import type { OrtBackend } from '@edgedesk/tensor';
import type { Calibration } from '../calibration/calibration.js';
import type { Model } from '../model.js';
import { denseWeight } from '../model.js';
import { blockWeights, rolesAfter } from './block-graph.js';
import { decodeBlockRecord, encodeBlockRecord } from './block-record.js';
import { BlockRunner } from './block-runner.js';
import type { Statistic } from './statistic.js';
import { meanSquare } from './statistic.js';
import type { Workspace } from './workspace.js';

/** A calibration algorithm: it observes a statistic and solves one linear layer after another with it. */
export interface BlockAlgorithm<S> {
  readonly statistic: Statistic<S>;
  /** What layers over one input share is computed once; then each is solved. `where` names the block in errors. */
  prepare(observed: S, where: string): Promise<SolveLinear>;
}

/** weight: `[out, in]` row-major f32, not kept. */
export type SolveLinear = (
  name: string,
  shape: readonly [number, number],
  weight: Float32Array,
) => Promise<NBitLinear>;

export interface SweepProgress {
  /** `replay` runs blocks that an earlier, interrupted sweep has solved. */
  readonly phase: 'replay' | 'solve';
  /** Blocks behind us. */
  readonly done: number;
  readonly total: number;
  /** The layers worked on now. */
  readonly roles: readonly LinearRole[];
  /** Estimated from the blocks solved so far; null before there is one. */
  readonly secondsLeft: number | null;
}

/** What a sweep needs besides model and algorithm; the same for all algorithms. */
export interface SweepContext {
  readonly calibration: Calibration;
  readonly backend: OrtBackend;
  /** @default the backend's number of cores */
  readonly threads?: number;
  readonly workspace: Workspace;
  readonly sha256: () => Sha256;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: SweepProgress) => void;
}

export interface SweepResult {
  /** A solved layer, read from the workspace. */
  linear(layer: number, name: string): Promise<NBitLinear>;
  /** Mean square of each input of the head, `[hidden]`. */
  readonly headInput: Float32Array;
}

/** Raise when the same inputs give other bytes. */
const sweepVersion = 1;
const stages = ['attentionInput', 'attention', 'mlpInput', 'mlp'] as const;
const recordName = (layer: number): string => `block-${layer}`;

/**
 * Quantizes the linear layers of all blocks, first to last, each on what the layers before it, already quantized, hand on.
 * Memory holds one block's weights and the residual stream of the calibration tokens, never the model. Each solved block
 * goes to the workspace; a sweep that finds blocks there that were made from the same weights, text and settings runs them
 * once and goes on after them, with the same result. `settings`: everything that decides the algorithm's numbers.
 */
export async function sweepBlocks<S>(
  model: Model,
  algorithm: BlockAlgorithm<S>,
  settings: unknown,
  context: SweepContext,
): Promise<SweepResult> {
  const sweep = new Sweep(model, algorithm, context);
  return sweep.run(settings);
}

class Sweep<S> {
  private readonly threads: number;

  constructor(
    private readonly model: Model,
    private readonly algorithm: BlockAlgorithm<S>,
    private readonly context: SweepContext,
  ) {
    this.threads = context.threads ?? context.backend.cores;
  }

  async run(settings: unknown): Promise<SweepResult> {
    const { model, context } = this;
    const embedding = denseWeight(await model.linears.get(weightName.embedding)!.read());
    let fingerprint = this.firstFingerprint(settings, embedding);
    const { calibration, backend, signal } = context;
    const runner = new BlockRunner(model.config, calibration, embedding, backend, this.threads, signal);
    try {
      const total = model.config.layerCount;
      let solvedSeconds = 0;
      let solvedBlocks = 0;
      for (let layer = 0; layer < total; layer++) {
        const started = performance.now();
        const report = (phase: SweepProgress['phase'], roles: readonly LinearRole[]): void => {
          const secondsLeft = solvedBlocks === 0 ? null : (solvedSeconds / solvedBlocks) * (total - layer);
          context.onProgress?.({ phase, done: layer, total, roles, secondsLeft });
        };
        const weights = await this.readBlock(layer);
        fingerprint = this.nextFingerprint(fingerprint, weights);
        const solved = await this.readSolved(layer, fingerprint);
        const where = `${model.name}, block ${layer}`;
        if (solved) {
          report('replay', linearRoles);
          for (const role of linearRoles) {
            weights.set(weightName.linear(0, role), toDense(solved.get(weightName.linear(layer, role))!));
          }
          await runner.replay(weights, where);
          continue;
        }
        const linears = await this.solveBlock(runner, layer, weights, where, (roles) =>
          report('solve', roles),
        );
        await context.workspace.write(recordName(layer), encodeBlockRecord({ fingerprint, linears }));
        solvedSeconds += (performance.now() - started) / 1000;
        solvedBlocks++;
      }
      const headInput = await this.headInput(runner);
      return { headInput, linear: this.reader() };
    } finally {
      await runner.release();
    }
  }

  /** Solves the layers of a block in the order in which they are computed, then runs the block to its end. */
  private async solveBlock(
    runner: BlockRunner,
    layer: number,
    weights: Map<string, Float32Array>,
    where: string,
    report: (roles: readonly LinearRole[]) => void,
  ): Promise<Map<string, NBitLinear>> {
    const linears = new Map<string, NBitLinear>();
    for (const stage of stages) {
      const roles = rolesAfter[stage];
      report(roles);
      const observed = await runner.run(stage, weights, where, this.algorithm.statistic);
      const solve = await this.algorithm.prepare(observed!, where);
      for (const role of roles) {
        this.context.signal?.throwIfAborted();
        const name = weightName.linear(layer, role);
        const shape = this.model.linears.get(name)!.shape;
        const linear = await solve(name, shape, weights.get(weightName.linear(0, role))!);
        linears.set(name, linear);
        weights.set(weightName.linear(0, role), toDense(linear));
      }
    }
    await runner.finishBlock(weights, where);
    return linears;
  }

  /** The weights of a block by their names in layer 0. */
  private async readBlock(layer: number): Promise<Map<string, Float32Array>> {
    const weights = new Map<string, Float32Array>();
    for (const name of blockWeights(this.model.config).keys()) {
      const own = name.replace('model.layers.0.', `model.layers.${layer}.`);
      const slot = this.model.linears.get(own);
      weights.set(name, slot ? denseWeight(await slot.read()) : await this.model.readVector(own));
    }
    return weights;
  }

  private async headInput(runner: BlockRunner): Promise<Float32Array> {
    const finalNorm = await this.model.readVector(weightName.finalNorm);
    const weights = new Map([[weightName.finalNorm, finalNorm]]);
    return (await runner.run('headInput', weights, `${this.model.name}, final norm`, meanSquare))!;
  }

  /** The layers of a block when the workspace has them, made from the same as now. */
  private async readSolved(
    layer: number,
    fingerprint: string,
  ): Promise<ReadonlyMap<string, NBitLinear> | null> {
    const bytes = await this.context.workspace.read(recordName(layer));
    const record = bytes && decodeBlockRecord(bytes);
    if (record?.fingerprint !== fingerprint) return null;
    const fits = linearRoles.every((role) => {
      const name = weightName.linear(layer, role);
      return record.linears.get(name)?.shape.join() === this.model.linears.get(name)!.shape.join();
    });
    return fits ? record.linears : null;
  }

  /** Reads solved layers; those of one block come from one read. */
  private reader(): SweepResult['linear'] {
    let held: { layer: number; record: ReturnType<typeof decodeBlockRecord> } | null = null;
    return async (layer, name) => {
      if (held?.layer !== layer) {
        const bytes = await this.context.workspace.read(recordName(layer));
        held = { layer, record: bytes && decodeBlockRecord(bytes) };
      }
      const linear = held.record?.linears.get(name);
      if (!linear) throw new Error(`the workspace lost ${name}`);
      return linear;
    };
  }

  private firstFingerprint(settings: unknown, embedding: Float32Array): string {
    const { calibration, backend } = this.context;
    const hash = this.context.sha256();
    const { config } = this.model;
    const about = [sweepVersion, config, settings, calibration.seq, backend.name, this.threads];
    hash.update(new TextEncoder().encode(JSON.stringify(about)));
    for (const data of [calibration.ids, calibration.segments, embedding]) hash.update(bytesOf(data));
    return hash.hex();
  }

  private nextFingerprint(before: string, weights: ReadonlyMap<string, Float32Array>): string {
    const hash = this.context.sha256();
    hash.update(new TextEncoder().encode(before));
    for (const data of weights.values()) hash.update(bytesOf(data));
    return hash.hex();
  }
}

const bytesOf = (data: Float32Array | Int32Array): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
