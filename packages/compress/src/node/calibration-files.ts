import type { Row, Tokenizer } from '@edgedesk/models';
import { rowToConversation } from '@edgedesk/models';
import { readRows } from '@edgedesk/models/node';
import { permutation, uniformAt } from '@edgedesk/train';
import type { DecoderConfig } from '@edgedesk/models';
import { RecipeError } from '@edgedesk/tensor';
import type { Calibration } from '../calibration/calibration.js';
import {
  CalibrationPacker,
  calibrationSeq,
  defaultCalibrationTokens,
  maxCalibrationTokens,
} from '../calibration/calibration.js';

export interface CalibrationFiles {
  /** Files of rows in our formats: chat, grounded, intent or plain text. */
  readonly files: readonly string[];
  /** Tokens to look at. @default 65536 */
  readonly tokens?: number;
}

/** Rows of one file held at a time; more than enough for the most tokens that are looked at by default. */
const sampledRows = 4096;
/** The same files always give the same text. */
const seed = 1;
/** Random streams of the orders come after those of the samples. */
const orderStream = 2 ** 16;

/**
 * Rows of `files` as token sequences in the model's chat template: a random sample of each file, the files in turn, until
 * there are enough tokens. DataError for a malformed file or too little text.
 */
export async function readCalibration(
  { files, tokens = defaultCalibrationTokens }: CalibrationFiles,
  tokenizer: Tokenizer,
  config: DecoderConfig,
): Promise<Calibration> {
  if (files.length === 0) {
    throw new RecipeError('no file was named', { where: 'calibration', fix: 'name at least one' });
  }
  if (!Number.isInteger(tokens) || tokens < 1 || tokens > maxCalibrationTokens) {
    throw new RecipeError(`${tokens} tokens cannot be calibrated on`, {
      where: 'calibration tokens',
      fix: `choose a whole number from 1 to ${maxCalibrationTokens}`,
    });
  }
  const samples: (readonly Row[])[] = [];
  for (const [index, file] of files.entries()) samples.push(await sampleRows(file, index));
  const packer = new CalibrationPacker(Math.min(calibrationSeq, config.contextLength), tokens);
  const longest = Math.max(...samples.map((rows) => rows.length));
  for (let i = 0; i < longest && !packer.full; i++) {
    for (const rows of samples) {
      const row = rows[i];
      if (row && row.kind !== 'retrieval') packer.add(tokensOf(row, tokenizer));
    }
  }
  return packer.finish(files.join(', '));
}

function tokensOf(row: Exclude<Row, { kind: 'retrieval' }>, tokenizer: Tokenizer): readonly number[] {
  const conversation = rowToConversation(row);
  return conversation.kind === 'text'
    ? tokenizer.encode(conversation.text)
    : tokenizer.encodeChat(conversation.messages).ids;
}

/** A uniform sample in random order (Vitter 1985, algorithm R). */
async function sampleRows(file: string, index: number): Promise<Row[]> {
  const sample: Row[] = [];
  let seen = 0;
  for await (const row of readRows(file)) {
    if (sample.length < sampledRows) sample.push(row);
    else {
      const place = Math.floor(uniformAt(seed, index, seen) * (seen + 1));
      if (place < sampledRows) sample[place] = row;
    }
    seen++;
  }
  return [...permutation(sample.length, seed, orderStream + index)].map((i) => sample[i]!);
}
