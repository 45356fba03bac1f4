const marker = Symbol.for('edgedesk.error');

/** What every EdgeDesk error carries besides its one-sentence message. */
export interface ErrorDetails {
  /** Where it went wrong: a file, tensor, recipe key, row. */
  readonly where?: string;
  /** What the reader can do about it, as an imperative clause. */
  readonly fix?: string;
  readonly cause?: unknown;
}

/**
 * Base of all errors that are the input's or the environment's fault. The message says what is wrong; `where`
 * and `fix` complete the sentence. A program bug is a plain `Error`.
 */
export class EdgeDeskError extends Error {
  readonly [marker] = true;
  readonly where: string | undefined;
  readonly fix: string | undefined;

  constructor(
    readonly code: string,
    message: string,
    details: ErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.where = details.where;
    this.fix = details.fix;
  }

  /** True for errors of any copy of this package. */
  static isInstance(error: unknown): error is EdgeDeskError {
    return typeof error === 'object' && error !== null && marker in error;
  }

  /** `where: message; fix.` on one line. */
  get sentence(): string {
    const place = this.where === undefined ? '' : `${this.where}: `;
    const mend = this.fix === undefined ? '' : `; ${this.fix}`;
    return oneLine(`${place}${this.message}${mend}.`);
  }
}

/** Text for a line of a terminal: names from untrusted files may hold line feeds and escape sequences. */
export function oneLine(text: string): string {
  return text.replace(/\s*[\r\n\u2028\u2029]+\s*/g, ' ').replace(/\p{Cc}/gu, '?');
}

/** A weights, tokenizer or config file is missing, malformed or inconsistent. */
export class CheckpointError extends EdgeDeskError {
  constructor(message: string, details?: ErrorDetails) {
    super('CHECKPOINT', message, details);
  }
}

/** Tensor shapes or dtypes do not fit an operator. */
export class ShapeError extends EdgeDeskError {
  constructor(message: string, details?: ErrorDetails) {
    super('SHAPE', message, details);
  }
}

/** A recipe, option or request asks for something that cannot be done. */
export class RecipeError extends EdgeDeskError {
  constructor(message: string, details?: ErrorDetails) {
    super('RECIPE', message, details);
  }
}

/** A data file has a row that cannot be used. */
export class DataError extends EdgeDeskError {
  constructor(message: string, details?: ErrorDetails) {
    super('DATA', message, details);
  }
}

/** Generation or serving failed for a reason outside the program. */
export class RuntimeFailure extends EdgeDeskError {
  constructor(message: string, details?: ErrorDetails) {
    super('RUNTIME', message, details);
  }
}

/** Why a model could not be had from a hub: what a program may decide by. */
export type HubFailure =
  | 'not-found'
  | 'forbidden'
  | 'unreachable'
  | 'cut'
  | 'stalled'
  | 'limited'
  | 'server'
  | 'mismatch'
  | 'untrue'
  | 'refused'
  | 'no-space'
  | 'not-cached';

/** A model could not be had from a hub or from the cache of one. */
export class HubError extends EdgeDeskError {
  constructor(
    readonly reason: HubFailure,
    message: string,
    details?: ErrorDetails,
  ) {
    super('HUB', message, details);
  }
}
