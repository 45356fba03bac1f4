import type { LinearRole, NBitLinear, Sha256 } from '@edgedesk/models';
import { linearRoles, toDense, weightName } from '@edgedesk/models';
import type { OrtBackend } from '@edgedesk/tensor';
import type { Calibration } from '../calibration/calibration.js';
import type { Model } from '../model.js';
import { denseWeight } from '../model.js';
import type { BlockToRefine } from '../refine/refine-block.js';
import { rolesAfter } from './block-graph.js';
import { BlockRunner } from './block-runner.js';
import { readBlock } from './read-block.js';
import { SolvedBlocks } from './solved-blocks.js';
import type { Statistic } from './statistic.js';
import { meanSquare } from './statistic.js';
import type { Workspace } from './workspace.js';

/** A calibration algorithm: it observes a statistic and solves one linear layer after another with it. */
export interface BlockAlgorithm<S> {
  readonly statistic: Statistic<S>;
  /** What layers over one input share is computed once; then each is solved. `where` names the block in errors. */
  prepare(observed: S, where: string): Promise<SolveLinear>;
  /** Improves on the layers of a block together, once they are solved. */
  readonly refine?: ((block: BlockToRefine) => Promise<ReadonlyMap<string, NBitLinear>>) | undefined;
}

/** weight: `[out, in]` row-major f32, not kept. */
export type SolveLinear = (
  name: string,
  shape: readonly [number, number],
  weight: Float32Array,
) => Promise<NBitLinear>;

export interface SweepProgress {
  /**
   * `replay` runs blocks that an earlier, interrupted sweep has solved; `measure` observes a model that it does not
   * change.
   */
  readonly phase: 'replay' | 'solve' | 'refine' | 'measure';
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

/** The parts of a block that linear layers follow, in order. */
export const stages = ['attentionInput', 'attention', 'mlpInput', 'mlp'] as const;

/**
 * Quantizes the linear layers of all blocks, first to last, each on what the layers before it, already quantized, hand on.
 * Memory holds one block's weights and the residual stream of the calibration tokens, never the model. Each solved block
 * goes to the workspace; a sweep that finds blocks there that were made from the same weights, text and settings runs them
 * once and goes on after them, with the same result. An algorithm that refines also has the unquantized model run beside, which
 * doubles the stream in memory. `settings`: everything that decides the algorithm's numbers.
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
    const { runner, reference, blocks } = await this.start(settings);
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
        const weights = await readBlock(model, layer);
        const solved = await blocks.next(layer, weights);
        const where = `${model.name}, block ${layer}`;
        const full = new Map(weights);
        await reference?.run('block', full, where, null);
        if (solved) {
          report('replay', linearRoles);
          for (const role of linearRoles) {
            weights.set(weightName.linear(0, role), toDense(solved.get(weightName.linear(layer, role))!));
          }
          await runner.replay(weights, where);
          continue;
        }
        const inputs = reference && runner.stream.map((hidden) => hidden.slice());
        let linears: ReadonlyMap<string, NBitLinear> = await this.solveBlock(
          runner,
          layer,
          weights,
          where,
          (roles) => report('solve', roles),
        );
        if (reference && inputs) {
          report('refine', linearRoles);
          linears = await this.refineBlock(layer, full, linears, inputs, reference);
          for (const [name, linear] of linears) weights.set(inLayer0(name, layer), toDense(linear));
          runner.restore(inputs, layer);
          await runner.replay(weights, where);
        }
        await blocks.save(layer, linears);
        solvedSeconds += (performance.now() - started) / 1000;
        solvedBlocks++;
      }
      const headInput = await this.headInput(runner);
      return { headInput, linear: (layer, name) => blocks.linear(layer, name) };
    } finally {
      await runner.release();
      await reference?.release();
    }
  }

  /** Looks the embeddings of the calibration tokens up; the table is not kept. */
  private async start(
    settings: unknown,
  ): Promise<{ runner: BlockRunner; reference: BlockRunner | null; blocks: SolvedBlocks }> {
    const { model, threads } = this;
    const { calibration, backend, workspace, sha256, signal } = this.context;
    const embedding = denseWeight(await model.linears.get(weightName.embedding)!.read());
    const decisive = [settings, calibration.seq, backend.name, threads];
    const data = [calibration.ids, calibration.segments, embedding];
    const runner = (): BlockRunner =>
      new BlockRunner(model.config, calibration, embedding, backend, threads, signal);
    return {
      blocks: new SolvedBlocks(model, workspace, sha256, decisive, data),
      runner: runner(),
      reference: this.algorithm.refine ? runner() : null,
    };
  }

  /** The solved layers after refinement; `reference` holds what the full-precision block has made. */
  private async refineBlock(
    layer: number,
    weights: ReadonlyMap<string, Float32Array>,
    linears: ReadonlyMap<string, NBitLinear>,
    inputs: readonly Float32Array[],
    reference: BlockRunner,
  ): Promise<ReadonlyMap<string, NBitLinear>> {
    const refined = await this.algorithm.refine!({
      ...reference.batchShape,
      layer,
      weights,
      linears: new Map([...linears].map(([name, linear]) => [inLayer0(name, layer), linear])),
      inputs,
      targets: reference.stream,
    });
    return new Map([...linears.keys()].map((name) => [name, refined.get(inLayer0(name, layer))!]));
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

  private async headInput(runner: BlockRunner): Promise<Float32Array> {
    const finalNorm = await this.model.readVector(weightName.finalNorm);
    const weights = new Map([[weightName.finalNorm, finalNorm]]);
    return (await runner.run('headInput', weights, `${this.model.name}, final norm`, meanSquare))!;
  }
}

const inLayer0 = (weight: string, layer: number): string =>
  weight.replace(`model.layers.${layer}.`, 'model.layers.0.');
