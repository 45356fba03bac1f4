import { permutation, streamOf } from '../random/philox.js';
import type { Piece } from './pieces.js';

/** Pieces that are drawn together, in an order reshuffled each epoch. */
export interface MixtureSource {
  /** Unique in a run; sources of several phases with one name go on where the earlier phase stopped. */
  readonly name: string;
  /** At least one. */
  readonly pieces: readonly Piece[];
  /** Share of the positions drawn, relative to the other sources of the phase. */
  readonly weight: number;
}

/** Where a source is: `position` pieces into the shuffled order of `epoch`. */
export interface Cursor {
  readonly epoch: number;
  readonly position: number;
}

export interface MixtureState {
  readonly cursors: Readonly<Record<string, Cursor>>;
  /** Positions drawn from each source of the current phase. */
  readonly drawn: Readonly<Record<string, number>>;
}

export const initialMixture: MixtureState = { cursors: {}, drawn: {} };

/**
 * Draws pieces so that every source keeps its share at any moment: the next piece comes from the source furthest behind.
 * Nothing is random but the order inside an epoch, which follows from (seed, source, epoch).
 */
export class Mixture {
  readonly #orders = new Map<string, { epoch: number; order: Uint32Array }>();
  readonly #cursors: Map<string, Cursor>;
  readonly #drawn: Map<string, number>;

  constructor(
    private readonly sources: readonly MixtureSource[],
    private readonly seed: number,
    state: MixtureState,
  ) {
    this.#cursors = new Map(Object.entries(state.cursors));
    this.#drawn = new Map(sources.map(({ name }) => [name, state.drawn[name] ?? 0]));
  }

  get state(): MixtureState {
    return { cursors: Object.fromEntries(this.#cursors), drawn: Object.fromEntries(this.#drawn) };
  }

  next(): Piece {
    const source = this.sources.reduce((a, b) =>
      this.#drawn.get(b.name)! * a.weight < this.#drawn.get(a.name)! * b.weight ? b : a,
    );
    const { epoch, position } = this.#cursors.get(source.name) ?? { epoch: 0, position: 0 };
    const piece = source.pieces[this.#order(source, epoch)[position]!]!;
    this.#drawn.set(source.name, this.#drawn.get(source.name)! + piece.length - 1);
    this.#cursors.set(
      source.name,
      position + 1 < source.pieces.length
        ? { epoch, position: position + 1 }
        : { epoch: epoch + 1, position: 0 },
    );
    return piece;
  }

  #order(source: MixtureSource, epoch: number): Uint32Array {
    const held = this.#orders.get(source.name);
    if (held?.epoch === epoch) return held.order;
    const order = permutation(source.pieces.length, this.seed, streamOf(source.name, epoch));
    this.#orders.set(source.name, { epoch, order });
    return order;
  }
}
