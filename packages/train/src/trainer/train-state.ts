import { initialLoader, type LoaderState } from '../data/loader.js';

/** One optimizer step. */
export interface StepPoint {
  readonly step: number;
  readonly tokens: number;
  readonly elapsedMs: number;
  /** Mean over the step's loss tokens, in nats. */
  readonly loss: number;
  readonly lr: number;
  /** Global gradient norm before clipping. */
  readonly norm: number;
}

/** Loss on held-out files, in nats a loss-carrying token. */
export interface EvaluationPoint {
  readonly step: number;
  readonly tokens: number;
  readonly elapsedMs: number;
  /** Over all sets together. */
  readonly loss: number;
  /** By set. */
  readonly sets: Readonly<Record<string, number>>;
}

/** Everything but the numbers in the arena that a run needs to go on as if it had never stopped. JSON. */
export interface TrainState {
  readonly step: number;
  /** Positions of packed rows, free ones included. */
  readonly tokens: number;
  readonly lossTokens: number;
  /** Of the training loop, over all resumes. */
  readonly elapsedMs: number;
  /** Steps whose gradient was not finite and changed nothing. */
  readonly skipped: number;
  readonly loader: LoaderState;
  /** Positions that each source filled. */
  readonly sourceTokens: Readonly<Record<string, number>>;
  readonly steps: readonly StepPoint[];
  readonly evaluations: readonly EvaluationPoint[];
}

export const initialState: TrainState = {
  step: 0,
  tokens: 0,
  lossTokens: 0,
  elapsedMs: 0,
  skipped: 0,
  loader: initialLoader,
  sourceTokens: {},
  steps: [],
  evaluations: [],
};
