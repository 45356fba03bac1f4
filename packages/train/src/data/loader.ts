import { DataError } from '@edgedesk/tensor';
import { permutation, streamOf } from '../random/philox.js';
import type { PackedRow } from './batch.js';
import { initialMixture, Mixture, type MixtureSource, type MixtureState } from './mixture.js';
import { packBestFit } from './pack.js';
import type { Piece } from './pieces.js';

/** Rows packed together: enough for best fit to leave next to nothing free, few enough to keep sources mixed. */
const windowRows = 256;

export interface LoaderPhase {
  readonly name: string;
  readonly sources: readonly MixtureSource[];
}

/** Position in the data; JSON. A window is rebuilt from the mixture's state at its start. */
export interface LoaderState {
  readonly phase: number;
  readonly window: number;
  /** Rows of the window already given out. */
  readonly row: number;
  readonly mixtureAtWindowStart: MixtureState;
}

export const initialLoader: LoaderState = {
  phase: 0,
  window: -1,
  row: 0,
  mixtureAtWindowStart: initialMixture,
};

/**
 * An endless stream of packed rows. Windows of pieces are drawn from the phase's mixture, packed by best fit and
 * shuffled; state and seed determine everything that follows.
 */
export class Loader {
  #state: LoaderState;
  #mixture: Mixture | null = null;
  #rows: readonly PackedRow[] = [];

  constructor(
    private readonly phases: readonly LoaderPhase[],
    private readonly sequence: number,
    private readonly seed: number,
    state: LoaderState = initialLoader,
  ) {
    const empty = phases.flatMap(({ sources }) => sources).find(({ pieces }) => pieces.length === 0);
    if (empty !== undefined) {
      throw new DataError('the source has no row to train on', {
        where: empty.name,
        fix: 'check its files, or raise `sequence`',
      });
    }
    this.#state = state;
    if (state.window >= 0) this.#fill(state.mixtureAtWindowStart);
  }

  get state(): LoaderState {
    return this.#state;
  }

  /** The next `count` rows of a phase. Moving to another phase leaves the rest of the open window behind. */
  next(phase: number, count: number): PackedRow[] {
    const taken: PackedRow[] = [];
    while (taken.length < count) {
      if (phase !== this.#state.phase || this.#state.row >= this.#rows.length) this.#advance(phase);
      const row = this.#rows[this.#state.row]!;
      this.#state = { ...this.#state, row: this.#state.row + 1 };
      taken.push(row);
    }
    return taken;
  }

  #advance(phase: number): void {
    const now = this.#mixture?.state ?? this.#state.mixtureAtWindowStart;
    const start = phase === this.#state.phase ? now : { ...now, drawn: {} };
    this.#state = { phase, window: this.#state.window + 1, row: 0, mixtureAtWindowStart: start };
    this.#fill(start);
  }

  #fill(start: MixtureState): void {
    const mixture = new Mixture(this.phases[this.#state.phase]!.sources, this.seed, start);
    const pieces: Piece[] = [];
    for (let positions = 0; positions < windowRows * this.sequence;) {
      const piece = mixture.next();
      pieces.push(piece);
      positions += piece.length - 1;
    }
    const packed = packBestFit(
      pieces.map(({ length }) => length - 1),
      this.sequence,
    );
    const order = permutation(packed.length, this.seed, streamOf('window', this.#state.window));
    this.#rows = Array.from(order, (row) => packed[row]!.map((piece) => pieces[piece]!));
    this.#mixture = mixture;
  }
}
