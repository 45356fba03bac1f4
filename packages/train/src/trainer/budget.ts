/** How long a run lasts: whichever of the given limits is reached first. */
export interface Budget {
  /** Optimizer steps. */
  readonly steps?: number | undefined;
  /** Positions of packed rows, free ones included. */
  readonly tokens?: number | undefined;
  /** Wall-clock time of the training loop, summed over all resumes. */
  readonly minutes?: number | undefined;
}

export interface Spent {
  readonly step: number;
  readonly tokens: number;
  readonly elapsedMs: number;
}

/** Share of the budget that is used up; 1 or more ends the run. */
export function progressOf(budget: Budget, spent: Spent): number {
  return Math.max(
    budget.steps === undefined ? 0 : spent.step / budget.steps,
    budget.tokens === undefined ? 0 : spent.tokens / budget.tokens,
    budget.minutes === undefined ? 0 : spent.elapsedMs / (budget.minutes * 60_000),
  );
}

/** Index of the phase at `progress`, given the phases' shares of the budget (which sum to 1). */
export function phaseAt(shares: readonly number[], progress: number): number {
  let end = 0;
  for (let phase = 0; phase < shares.length - 1; phase++) {
    end += shares[phase]!;
    if (progress < end) return phase;
  }
  return shares.length - 1;
}

/** When something is due that happens every so many steps or minutes. */
export interface Interval {
  readonly steps?: number | undefined;
  readonly minutes?: number | undefined;
}

export function isDue(interval: Interval, now: Spent, last: Pick<Spent, 'step' | 'elapsedMs'>): boolean {
  if (interval.steps !== undefined && now.step - last.step >= interval.steps) return true;
  return interval.minutes !== undefined && now.elapsedMs - last.elapsedMs >= interval.minutes * 60_000;
}
