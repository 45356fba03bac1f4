import { isDue, type Interval } from './budget.js';
import type { OnTrainEvent } from './events.js';
import type { EvaluationSet, Trainer } from './trainer.js';

/** Steps over which speed is averaged. */
const speedWindow = 50;

export interface RunTrainingOptions {
  readonly evaluations: readonly EvaluationSet[];
  readonly evaluateEvery: Interval;
  readonly checkpointEvery: Interval;
  /** Writes the trainer's numbers and state where they survive; returns the place, for the report. */
  readonly saveCheckpoint: (trainer: Trainer) => Promise<string>;
  readonly onEvent: OnTrainEvent;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Trains until the budget is used up or `signal` stops it, evaluating and saving on the way; the last thing done is a
 * checkpoint. Returns whether the budget was used up.
 */
export async function runTraining(
  trainer: Trainer,
  options: RunTrainingOptions,
): Promise<'done' | 'stopped'> {
  const { onEvent, signal } = options;
  let savedAt = trainer.state;
  const evaluatedAt = () => trainer.state.evaluations.at(-1) ?? { step: 0, elapsedMs: 0 };
  const evaluate = async () => {
    if (options.evaluations.length === 0 || trainer.state.evaluations.at(-1)?.step === trainer.state.step)
      return;
    await trainer.evaluate(options.evaluations);
    onEvent({ type: 'evaluation', point: trainer.state.evaluations.at(-1)! });
  };
  const save = async () => {
    const startedAt = performance.now();
    const where = await options.saveCheckpoint(trainer);
    trainer.addElapsed(performance.now() - startedAt);
    savedAt = trainer.state;
    onEvent({ type: 'checkpoint', step: trainer.state.step, where });
  };

  while (trainer.progress < 1 && !aborted(signal)) {
    const { point, phase, skipped } = await trainer.step();
    onEvent({
      type: 'step',
      point,
      phase,
      progress: Math.min(1, trainer.progress),
      ...pace(trainer),
      skipped,
    });
    if (isDue(options.evaluateEvery, trainer.state, evaluatedAt())) await evaluate();
    if (trainer.progress < 1 && isDue(options.checkpointEvery, trainer.state, savedAt)) await save();
    await breathe();
  }
  const finished = trainer.progress >= 1;
  if (finished) await evaluate();
  if (savedAt !== trainer.state) await save();
  return finished ? 'done' : 'stopped';
}

function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted ?? false;
}

/** Sessions block the event loop: without a pause no signal, timer or socket would get a turn. */
function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

function pace(trainer: Trainer): { tokensPerSecond: number; etaMs: number } {
  const { steps, elapsedMs } = trainer.state;
  const last = steps.at(-1)!;
  const from = steps.at(-1 - speedWindow) ?? { tokens: 0, elapsedMs: 0 };
  const seconds = (last.elapsedMs - from.elapsedMs) / 1000;
  const progress = trainer.progress;
  return {
    tokensPerSecond: seconds > 0 ? (last.tokens - from.tokens) / seconds : 0,
    etaMs: progress > 0 ? Math.max(0, (elapsedMs * (1 - progress)) / progress) : Infinity,
  };
}
