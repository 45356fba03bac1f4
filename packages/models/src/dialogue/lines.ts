import { DataError } from '@edgedesk/tensor';
import { rowLimits } from './limits.js';
import { parseRowLine } from './parse-row.js';
import type { Row } from './row.js';

export interface Line {
  readonly text: string;
  /** Counted from 1, blank lines included. */
  readonly number: number;
}

/**
 * The lines of a UTF-8 byte stream that are not blank, without a byte order mark and without line ends (`\n`, `\r\n`).
 * Holds at most one line of `rowLimits.lineCharacters`. Throws a DataError naming `name:line` for a longer line or
 * bytes that are not UTF-8.
 */
export async function* readLines(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Line> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let number = 0;
  let rest = '';
  const decode = (bytes?: Uint8Array): string => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch (cause) {
      throw new DataError('the file is not UTF-8 text', {
        where: `${name}:${number + 1}`,
        fix: 'save it as UTF-8',
        cause,
      });
    }
  };
  const bounded = (line: string): string => {
    if (line.length <= rowLimits.lineCharacters) return line;
    throw new DataError(`the line is longer than ${rowLimits.lineCharacters} characters`, {
      where: `${name}:${number + 1}`,
      fix: 'write one row a line',
    });
  };
  for await (const bytes of chunks) {
    const pieces = decode(bytes).split('\n');
    pieces[0] = rest + pieces[0]!;
    rest = bounded(pieces.pop()!);
    for (const piece of pieces) {
      bounded(piece);
      number++;
      if (piece.trim() !== '') yield { text: piece, number };
    }
  }
  rest += decode();
  number++;
  if (rest.trim() !== '') yield { text: rest, number };
}

/** The rows of a `.jsonl` byte stream; `name` is the file in error messages. */
export async function* readRowStream(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Row> {
  for await (const line of readLines(chunks, name)) yield parseRowLine(line.text, `${name}:${line.number}`);
}
