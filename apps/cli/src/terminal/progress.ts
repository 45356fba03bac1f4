import { formatDuration } from './format.js';

/** The part of a stream that progress needs, so that a test can watch it. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const terminalMs = 100;
/** Logs stay readable: a line every few seconds at most. */
const plainMs = 5000;

/**
 * One long job's progress on stderr: a line that redraws itself in a terminal, a plain line now and then elsewhere.
 * The time left follows from the mean speed so far unless the job knows better. `finish` must be called before anything else is printed.
 */
export class Progress {
  readonly #start: number;
  #shownAt: number;
  #open = false;
  /** Lines drawn above the progress line, in a terminal. */
  #block = '';
  #drawnAbove = 0;

  constructor(
    private readonly label: string,
    private readonly stream: ProgressStream = process.stderr,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#start = this.#shownAt = now();
    if (stream.isTTY === true) this.#draw(label);
  }

  /** `done` of `total` (in any unit; 0: not known) is behind us; `note` is shown beside it. Cheap enough to call at every step. */
  update(done: number, total: number, note = '', secondsLeft?: number): void {
    const now = this.now();
    if (now - this.#shownAt < (this.stream.isTTY === true ? terminalMs : plainMs)) return;
    this.#shownAt = now;
    const share = total > 0 ? Math.min(1, done / total) : 0;
    const elapsed = (now - this.#start) / 1000;
    const seconds = secondsLeft ?? (share > 0 ? (elapsed * (1 - share)) / share : Infinity);
    const left = Number.isFinite(seconds) ? `, about ${formatDuration(seconds)} left` : '';
    const amount = total > 0 ? [`${Math.floor(share * 100)} %`] : [];
    const text = `${this.label}: ${[...amount, ...(note === '' ? [] : [note])].join(', ')}${left}`;
    if (this.stream.isTTY === true) this.#draw(text);
    else this.stream.write(`${text}\n`);
  }

  /** A block of lines, such as a curve, that stands above the progress line of a terminal from its next drawing on. */
  above(block: string): void {
    this.#block = block;
  }

  get live(): boolean {
    return this.stream.isTTY === true;
  }

  /** Columns of the terminal, or a readable width elsewhere. */
  get columns(): number {
    return this.stream.columns ?? 80;
  }

  /** Prints a line of its own; the progress goes on below it. */
  note(text: string): void {
    this.#erase();
    this.stream.write(`${text}\n`);
  }

  /** Ends the job's line. Without a text the line disappears from a terminal. */
  finish(text?: string): void {
    this.#erase();
    if (text === undefined) return;
    this.stream.write(`${this.label}: ${text} (${formatDuration((this.now() - this.#start) / 1000)})\n`);
  }

  #draw(text: string): void {
    const erasure = this.#erasure();
    this.#open = true;
    const block = this.#block === '' ? '' : `${this.#block}\n`;
    this.#drawnAbove = block.split('\n').length - 1;
    this.stream.write(`${erasure}${block}${text.slice(0, this.columns - 1)}`);
  }

  #erase(): void {
    if (this.#open) this.stream.write(this.#erasure());
    this.#open = false;
  }

  /** What clears the current line and the block above it. */
  #erasure(): string {
    const up = this.#open && this.#drawnAbove > 0 ? `\u001b[${this.#drawnAbove}A\u001b[J` : '';
    return `\r\u001b[2K${up}`;
  }
}
