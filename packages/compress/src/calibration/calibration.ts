import { DataError } from '@edgedesk/tensor';

/** Token sequences that calibration algorithms watch a model on; rows of equal length, all tokens count. */
export interface Calibration {
  /** Tokens in a row. */
  readonly seq: number;
  /** Token ids `[rows, seq]`. */
  readonly ids: Int32Array;
  /** `[rows, seq]`: attention never crosses from one document to another. */
  readonly segments: Int32Array;
}

/** Enough for every model: its context where that is shorter. */
export const calibrationSeq = 512;
/** 128 rows of 512 tokens, as GPTQ's authors take. */
export const defaultCalibrationTokens = 65_536;
/** Activations of that many tokens are in memory at once; far more text does not make a better model. */
export const maxCalibrationTokens = 2 ** 22;
/** A statistic of fewer rows says more about them than about the model. */
export const minCalibrationRows = 4;

export const rowCount = (calibration: Calibration): number => calibration.ids.length / calibration.seq;

/** Fills rows with documents one after another, cut where a row ends, until there are `tokens` of them. */
export class CalibrationPacker {
  private readonly ids: Int32Array;
  private readonly segments: Int32Array;
  private length = 0;
  private documents = 0;

  /** `tokens` is rounded up to whole rows. */
  constructor(
    private readonly seq: number,
    tokens: number,
  ) {
    const size = Math.ceil(tokens / seq) * seq;
    this.ids = new Int32Array(size);
    this.segments = new Int32Array(size);
  }

  get full(): boolean {
    return this.length === this.ids.length;
  }

  add(document: readonly number[]): void {
    const taken = Math.min(document.length, this.ids.length - this.length);
    for (let i = 0; i < taken; i++) this.ids[this.length + i] = document[i]!;
    this.segments.fill(this.documents++, this.length, this.length + taken);
    this.length += taken;
  }

  /** The whole rows. DataError when there are fewer than four; `where` names the files. */
  finish(where: string): Calibration {
    const { seq } = this;
    const rows = Math.floor(this.length / seq);
    if (rows < minCalibrationRows) {
      throw new DataError(
        `the text has only ${this.length} tokens, and calibration needs at least ${minCalibrationRows * seq}`,
        { where, fix: 'add conversations, or files' },
      );
    }
    return { seq, ids: this.ids.slice(0, rows * seq), segments: this.segments.slice(0, rows * seq) };
  }
}
