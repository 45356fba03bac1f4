import type { EvaluationPoint, StepPoint } from './train-state.js';

/** What a run tells while it goes. Times are milliseconds. */
export type TrainEvent =
  | {
      readonly type: 'prepare';
      /** E.g. `tokenizing text/a.jsonl`. */
      readonly what: string;
      readonly done: number;
      /** Absent when not known beforehand. */
      readonly total?: number;
    }
  | {
      readonly type: 'start';
      readonly name: string;
      readonly parameters: number;
      readonly trainable: number;
      /** Step the run goes on from; 0 for a new one. */
      readonly step: number;
    }
  | {
      readonly type: 'step';
      readonly point: StepPoint;
      readonly phase: string;
      /** Share of the budget used, 0..1. */
      readonly progress: number;
      /** Over the last steps, positions a second. */
      readonly tokensPerSecond: number;
      readonly etaMs: number;
      /** The gradient was not finite and the step changed nothing. */
      readonly skipped: boolean;
    }
  | { readonly type: 'evaluation'; readonly point: EvaluationPoint }
  | { readonly type: 'checkpoint'; readonly step: number; readonly where: string }
  | { readonly type: 'stopped'; readonly step: number }
  | { readonly type: 'done'; readonly step: number; readonly where: string };

export type OnTrainEvent = (event: TrainEvent) => void;
