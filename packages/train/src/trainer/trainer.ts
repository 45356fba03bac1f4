import { weightName, type DecoderConfig } from '@edgedesk/models';
import { RuntimeFailure, type OrtBackend, type Tensor } from '@edgedesk/tensor';
import { dealRows, layOut, type Batch, type Emphasis, type PackedRow } from '../data/batch.js';
import { Loader, type LoaderPhase } from '../data/loader.js';
import { gradientOf, graphWeights, type LoraOptions } from '../graph/training-graph.js';
import type { Initialiser } from '../initialise/initial-weights.js';
import { accumulateGradients, adamwStep, gradientNorm, type AdamwOptions } from '../optimizer/adamw.js';
import { ParameterArena, type Region } from '../optimizer/arena.js';
import { createMuon, type Muon, type MuonOptions } from '../optimizer/muon.js';
import { fakeQuantizationOf, gridTensors, isGain, type QuantizedStart } from '../qat/fake-quantization.js';
import { scheduleAt, type ScheduleOptions } from '../schedule/schedule.js';
import { phaseAt, progressOf, type Budget } from './budget.js';
import { GraphSessions } from './graph-sessions.js';
import { Teacher, type TeacherOptions } from './teacher.js';
import { initialState, type StepPoint, type TrainState } from './train-state.js';

/** This many steps in a row without a finite gradient end the run. */
const maxSkippedInARow = 10;

export interface TrainerPhase extends LoaderPhase {
  /** Share of the budget; the shares of all phases sum to 1. */
  readonly share: number;
}

export interface TrainerOptions {
  readonly backend: OrtBackend;
  readonly config: DecoderConfig;
  readonly lora?: LoraOptions | undefined;
  /** First values of the trainable parameters. */
  readonly initialise: Initialiser;
  /** Weights that stay as they are: the base under LoRA adapters. */
  readonly frozen?: ReadonlyMap<string, Tensor> | undefined;
  /** Rounds weights to their grids on the way; `initialise` and `frozen` give the weights before rounding. */
  readonly quantize?: QuantizedStart | undefined;
  readonly teacher?: TeacherOptions | undefined;
  readonly phases: readonly TrainerPhase[];
  /** Positions of a packed row. */
  readonly sequence: number;
  /** Rows of one forward and backward pass. */
  readonly batch: number;
  /** Passes whose gradients are summed for one step. */
  readonly accumulate: number;
  readonly emphasis?: Emphasis | undefined;
  /** Peak learning rate. */
  readonly lr: number;
  readonly optimizer: AdamwOptions;
  readonly decayEmbedding: boolean;
  /** Muon updates the matrices of the blocks; AdamW the rest. */
  readonly muon?: MuonOptions | undefined;
  readonly schedule: ScheduleOptions;
  readonly budget: Budget;
  readonly seed: number;
}

export interface StepResult {
  readonly point: StepPoint;
  readonly phase: string;
  readonly skipped: boolean;
}

/** Held-out rows, laid out once. */
export interface EvaluationSet {
  readonly name: string;
  readonly rows: readonly PackedRow[];
}

/**
 * The numbers of a training run and the operation on them: one optimizer step, one evaluation. When to do which, and
 * what to write where, is the loop's business (`runTraining`). Call `release` when done.
 */
export class Trainer {
  readonly arena: ParameterArena;
  #state: TrainState = initialState;
  #loader: Loader;
  #skippedInARow = 0;
  readonly #muon: Muon | null;
  readonly #teacher: Teacher | null;
  /** Weights and grids that stay as they are. */
  readonly #frozen: Readonly<Record<string, Tensor>>;
  readonly #training: GraphSessions;
  readonly #evaluation: GraphSessions;
  readonly #gradients: Readonly<Record<string, Tensor>>;
  readonly #scratch: Readonly<Record<string, Tensor>>;

  constructor(readonly options: TrainerOptions) {
    const { backend, config, lora, optimizer, batch, sequence, teacher } = options;
    const quantize = options.quantize && fakeQuantizationOf(options.quantize);
    const { parameters: shapes } = graphWeights(config, { lora, quantize });
    const embeddings: readonly string[] = [weightName.embedding, weightName.head];
    this.arena = new ParameterArena(shapes, {
      accumulate: options.accumulate > 1,
      average: optimizer.average > 0,
      decays: (name, shape) =>
        shape.length > 1 && !isGain(name) && (options.decayEmbedding || !embeddings.includes(name)),
      orthogonalized: (name, shape) =>
        options.muon !== undefined && shape.length === 2 && !isGain(name) && !embeddings.includes(name),
    });
    this.#muon = options.muon ? createMuon(backend, options.muon) : null;
    for (const [name, shape] of shapes) {
      if (!isGain(name)) options.initialise(name, shape, this.arena.tensor('parameters', name).data);
    }
    if (this.arena.has('average')) this.arena.region('average').set(this.arena.region('parameters'));
    this.#gradients = this.#views('gradients', gradientOf);
    this.#scratch = this.arena.has('scratch') ? this.#views('scratch', gradientOf) : {};
    this.#loader = this.#makeLoader();
    this.#frozen = Object.fromEntries([
      ...(options.frozen ?? []),
      ...(options.quantize ? gridTensors(options.quantize) : []),
    ]);
    this.#teacher = teacher ? new Teacher(backend, teacher, { batch, sequence }) : null;
    const shape = { config, batch, sequence, lora, quantize };
    const lesson = teacher && { hiddenSize: teacher.config.hiddenSize, share: teacher.share };
    this.#training = new GraphSessions(backend, { ...shape, teacher: lesson }, 'train');
    this.#evaluation = new GraphSessions(backend, shape, 'evaluate');
  }

  get state(): TrainState {
    return this.#state;
  }

  /** Goes on from `state`; the caller has filled the arena's regions. */
  restore(state: TrainState): void {
    this.#state = state;
    this.#loader = this.#makeLoader();
  }

  /** Region of the weights that a finished run exports: their average when one is kept. */
  get exported(): Region {
    return this.arena.has('average') ? 'average' : 'parameters';
  }

  /** Trainable numbers. */
  get parameterCount(): number {
    return this.arena.names.reduce((sum, name) => sum + this.arena.tensor('parameters', name).data.length, 0);
  }

  /** Share of the budget used. */
  get progress(): number {
    return progressOf(this.options.budget, this.#state);
  }

  /** One optimizer step over `batch * accumulate` packed rows: the weighted mean loss of all their loss tokens. */
  async step(): Promise<StepResult> {
    const startedAt = performance.now();
    const { options, arena } = this;
    const progress = this.progress;
    const phase = phaseAt(
      options.phases.map(({ share }) => share),
      progress,
    );
    const rows = this.#loader.next(phase, options.batch * options.accumulate);
    const batches = dealRows(rows, options.batch).map((group) =>
      layOut(group, options.batch, options.sequence, options.emphasis),
    );
    const lossTokens = batches.reduce((sum, batch) => sum + batch.lossRows.length, 0);
    const weight = batches.flatMap(({ lossWeights }) => lossWeights).reduce((sum, one) => sum + one, 0);
    const loss = await this.#forwardBackward(batches, 1 / weight);

    const norm = gradientNorm(arena);
    const skipped = !Number.isFinite(norm) || !Number.isFinite(loss);
    this.#skippedInARow = skipped ? this.#skippedInARow + 1 : 0;
    if (this.#skippedInARow >= maxSkippedInARow) {
      throw new RuntimeFailure(`the gradient was not finite ${maxSkippedInARow} steps in a row`, {
        where: `step ${this.#state.step + 1}`,
        fix: 'lower the learning rate and resume from the last checkpoint',
      });
    }
    const lr = options.lr * scheduleAt(options.schedule, progress);
    const { state } = this;
    if (!skipped) {
      await this.#updateMatrices(lr, norm);
      adamwStep(arena, options.optimizer, lr, state.step + 1 - state.skipped, norm);
    }

    const sourceTokens = { ...state.sourceTokens };
    for (const { source, length } of rows.flat()) {
      sourceTokens[source.name] = (sourceTokens[source.name] ?? 0) + length - 1;
    }
    const point: StepPoint = {
      step: state.step + 1,
      tokens: state.tokens + rows.length * options.sequence,
      elapsedMs: state.elapsedMs + performance.now() - startedAt,
      loss,
      lr,
      norm,
    };
    this.#state = {
      ...state,
      step: point.step,
      tokens: point.tokens,
      elapsedMs: point.elapsedMs,
      lossTokens: state.lossTokens + lossTokens,
      skipped: state.skipped + (skipped ? 1 : 0),
      loader: this.#loader.state,
      sourceTokens,
      steps: [...state.steps, point],
    };
    return { point, phase: options.phases[phase]!.name, skipped };
  }

  /** Loss of the exported weights on held-out rows; recorded in the state. */
  async evaluate(sets: readonly EvaluationSet[]): Promise<void> {
    const startedAt = performance.now();
    const { batch, sequence } = this.options;
    const weights = this.#weights(this.exported);
    const losses: Record<string, number> = {};
    let sum = 0;
    let tokens = 0;
    for (const set of sets) {
      let setSum = 0;
      let setTokens = 0;
      for (const group of dealRows(set.rows, batch)) {
        const laidOut = layOut(group, batch, sequence);
        setSum += await this.#evaluation.run(laidOut, 1, weights);
        setTokens += laidOut.lossRows.length;
      }
      losses[set.name] = setSum / setTokens;
      sum += setSum;
      tokens += setTokens;
    }
    const { state } = this;
    const elapsedMs = state.elapsedMs + performance.now() - startedAt;
    const point = { step: state.step, tokens: state.tokens, elapsedMs, loss: sum / tokens, sets: losses };
    this.#state = { ...state, elapsedMs, evaluations: [...state.evaluations, point] };
  }

  /** Time spent on the run outside steps and evaluations, such as writing checkpoints. */
  addElapsed(ms: number): void {
    this.#state = { ...this.#state, elapsedMs: this.#state.elapsedMs + ms };
  }

  async release(): Promise<void> {
    await this.#muon?.release();
    await this.#teacher?.release();
    await this.#training.release();
    await this.#evaluation.release();
  }

  /** Leaves the summed gradients in the arena and returns the loss. */
  async #forwardBackward(batches: readonly Batch[], scale: number): Promise<number> {
    const weights = this.#weights('parameters');
    let loss = 0;
    for (const [index, batch] of batches.entries()) {
      const lesson = await this.#teacher?.feeds(batch);
      const gradients = index === 0 ? this.#gradients : this.#scratch;
      loss += await this.#training.run(batch, scale, { ...weights, ...lesson }, gradients);
      if (index > 0) accumulateGradients(this.arena);
    }
    return loss;
  }

  /** Muon's share of a step; its momentum is AdamW's first moment's place. */
  async #updateMatrices(lr: number, norm: number): Promise<void> {
    const { arena } = this;
    const { clip } = this.options.optimizer;
    for (const name of this.#muon ? arena.orthogonalizedNames : []) {
      const [weight, gradient, momentum] = (['parameters', 'gradients', 'm'] as const).map((region) =>
        arena.tensor(region, name),
      ) as [Tensor, Tensor, Tensor];
      await this.#muon!.update({ weight, gradient, momentum }, lr, clip > 0 && norm > clip ? clip / norm : 1);
    }
  }

  #makeLoader(): Loader {
    return new Loader(this.options.phases, this.options.sequence, this.options.seed, this.#state.loader);
  }

  #weights(region: Region): Record<string, Tensor> {
    return { ...this.#frozen, ...this.#views(region, (name) => name) };
  }

  #views(region: Region, nameOf: (parameter: string) => string): Record<string, Tensor> {
    return Object.fromEntries(
      this.arena.names.map((name) => [nameOf(name), this.arena.tensor(region, name)]),
    );
  }
}
