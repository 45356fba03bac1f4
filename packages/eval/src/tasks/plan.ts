import { DataError } from '@edgedesk/tensor';
import { parseMarks } from '@edgedesk/models';
import type { Row, RowKind, SpokenRow } from '@edgedesk/models';
import type { Note } from '../report/notes.js';
import { spreadSample } from '../statistics/sample.js';

/** A data file read into memory. */
export interface RowFile {
  /** As it appears in the report. */
  readonly file: string;
  readonly rows: readonly Row[];
  /** Intents to choose from. @default those that occur in `rows` */
  readonly labels?: readonly string[];
}

/** Which rows of a file are measured, and against which labels. */
export interface FilePlan {
  readonly file: string;
  readonly kind: RowKind;
  readonly available: number;
  readonly rows: readonly SpokenRow[];
  readonly labels: readonly string[];
  /** Some conversations end in a hand-over to a person. */
  readonly handOffs: boolean;
  readonly notes: readonly Note[];
}

/** Picks the rows to measure. Throws a DataError for a file that is empty or mixes formats. */
export function planFile(file: RowFile, limit: number | undefined, seed: number): FilePlan {
  const [first] = file.rows;
  if (first === undefined) {
    throw new DataError('the file has no rows', { where: file.file, fix: 'name a file with data' });
  }
  const other = file.rows.find(({ kind }) => kind !== first.kind);
  if (other !== undefined) {
    throw new DataError(`the file mixes ${first.kind} and ${other.kind} rows`, {
      where: file.file,
      fix: 'keep one format a file',
    });
  }
  const plan = { file: file.file, kind: first.kind, available: file.rows.length };
  if (first.kind === 'retrieval') {
    return { ...plan, rows: [], labels: [], handOffs: false, notes: [{ code: 'retrievalSkipped' }] };
  }
  const sample = spreadSample(file.rows.length, limit ?? file.rows.length, seed);
  const labels = new Set(
    file.labels ?? file.rows.flatMap((row) => (row.kind === 'intent' ? [row.intent] : [])),
  );
  return {
    ...plan,
    rows: sample.map((i) => file.rows[i] as SpokenRow),
    labels: [...labels].sort(),
    handOffs: file.rows.some(
      (row) => row.kind === 'chat' && parseMarks(row.messages.at(-1)!.content).mark === 'hand_off',
    ),
    notes: [],
  };
}
