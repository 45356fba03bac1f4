import { appendFileSync } from 'node:fs';
import { writeFileAtomic } from '@edgedesk/tensor/node';
import type { EvaluationPoint, StepPoint, TrainState } from '../trainer/train-state.js';

/** A line of `training-log.jsonl`. */
export type LogLine =
  ({ readonly type: 'step' } & StepPoint) | ({ readonly type: 'evaluation' } & EvaluationPoint);

/** The loss history as JSON lines, for other tools. The checkpoint is the truth: a resume rewrites the file from it. */
export class TrainingLog {
  private constructor(private readonly path: string) {}

  static async open(path: string, state: TrainState): Promise<TrainingLog> {
    const lines: LogLine[] = [
      ...state.steps.map((point) => ({ type: 'step' as const, ...point })),
      ...state.evaluations.map((point) => ({ type: 'evaluation' as const, ...point })),
    ];
    lines.sort((a, b) => a.step - b.step);
    await writeFileAtomic(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    return new TrainingLog(path);
  }

  append(line: LogLine): void {
    appendFileSync(this.path, `${JSON.stringify(line)}\n`);
  }
}
