import type { EvalReport } from './schema.js';

export interface GateOptions {
  /** Least share of the base's quality, in 0..1. */
  readonly minKept: number;
}

export interface GateResult {
  readonly passed: boolean;
  /** Null when the report has no base to judge by; such a report does not pass. */
  readonly qualityKept: number | null;
  readonly minKept: number;
}

/** Whether a model kept enough of its base's quality to be exported as ready. */
export function checkGate(report: Pick<EvalReport, 'qualityKept'>, { minKept }: GateOptions): GateResult {
  const qualityKept = report.qualityKept ?? null;
  return { passed: qualityKept !== null && qualityKept >= minKept, qualityKept, minKept };
}
