/** A drafted row costs this share of a token of its own: 2 to 16 rows, 4-bit weights, two x86 cores. */
const rowCost = 0.27;
/** Weight of a new measurement; those of a busy machine are rough. */
const freshness = 0.1;
/** Shorter plain calls say more about calling than about tokens. */
const fewestTokens = 4;
/** A measurement may be off by any factor when another program takes the cores; what is believed stays within these. */
const [leastFactor, mostFactor] = [0.3, 4];

/**
 * What a pass over a draft costs, in tokens generated plainly. The shape is known beforehand, the height is measured as
 * the model speaks: a small model pays more for each call, an accelerator less for each row.
 */
export class PassCost {
  private tokenMs = 0;
  private factor = 1.1;

  /** Tokens that a pass over `drafted` tokens and the one before them costs. */
  of(drafted: number): number {
    return this.factor * (1 + rowCost * drafted);
  }

  plainTook(elapsedMs: number, tokens: number): void {
    if (tokens < fewestTokens) return;
    const ms = elapsedMs / tokens;
    this.tokenMs = this.tokenMs === 0 ? ms : this.tokenMs + freshness * (ms - this.tokenMs);
  }

  passTook(elapsedMs: number, drafted: number): void {
    if (this.tokenMs === 0) return;
    const factor = elapsedMs / this.tokenMs / (1 + rowCost * drafted);
    const believed = Math.min(mostFactor, Math.max(leastFactor, factor));
    this.factor += freshness * (believed - this.factor);
  }
}
