/** A first chunk of one token comes at once; later ones take about this long, so text flows and cancelling is prompt. */
const targetMs = 60;
const fewest = 4;
const most = 32;

/** How many tokens the next call should yield, from how long the last ones took. */
export class ChunkLength {
  private length = 1;

  /** `fixed` overrides the choice after the first chunk. */
  constructor(private readonly fixed?: number) {}

  get next(): number {
    return this.length;
  }

  /** A call that only decoded took `elapsedMs` for `tokens`. */
  took(elapsedMs: number, tokens: number): void {
    const fitting = Math.floor((targetMs * tokens) / Math.max(elapsedMs, 0.1));
    // At most doubled: one lucky measurement must not make a slow chunk.
    this.length = Math.max(fewest, Math.min(most, fitting, 2 * this.length));
    if (this.fixed !== undefined) this.length = this.fixed;
  }

  /** The prompt is read and the first token out. */
  begin(): void {
    this.length = this.fixed ?? fewest;
  }
}
