import { RecipeError } from '@edgedesk/tensor';
import type { ScoreOptions, ScoreResult } from '../engine.js';
import type { TokenModel } from '../model/token-model.js';
import { checkTokens } from './generate.js';
import type { Turns } from './turns.js';

/** Logits of one call at most: 8 MB, whatever the vocabulary. */
const maxLogits = 2 ** 21;
/** Fewer rows a call than this would leave the cores idle. */
const fewestRows = 16;
/** Rows asked for in full are returned as one array of at most 512 MB. */
const maxRowValues = 2 ** 27;

/** Scores `tokens`; see `Engine.score`. Its turns interleave with those of conversations. */
export async function score(
  model: TokenModel,
  turns: Turns,
  promptPiece: number,
  tokens: readonly number[],
  options: ScoreOptions = {},
): Promise<ScoreResult> {
  const { start = 1, withRows = false, sharedPrefix = Infinity } = options;
  const { vocabSize } = model.config;
  check(model, tokens, start, withRows);
  const count = tokens.length - start;
  const logProbs = new Float32Array(count);
  const top1 = new Int32Array(count);
  const full = withRows ? new Float32Array(count * vocabSize) : undefined;
  const most = Math.min(promptPiece, Math.max(fewestRows, Math.floor(maxLogits / vocabSize)));

  const leave = turns.admit();
  try {
    const sequence = await model.beginScoring(tokens, Math.min(start - 1, sharedPrefix));
    try {
      let at = sequence.cachedTokens;
      while (at < start - 1) {
        const piece = tokens.slice(at, Math.min(start - 1, at + promptPiece));
        await turns.take(() => sequence.read(piece));
        at += piece.length;
      }
      while (at < tokens.length - 1) {
        const ids = tokens.slice(at, Math.min(tokens.length - 1, at + most));
        const targets = tokens.slice(at + 1, at + 1 + ids.length);
        const scores = await turns.take(() => sequence.score(ids, targets, withRows));
        const place = at + 1 - start;
        logProbs.set(scores!.logProbs, place);
        top1.set(scores!.top1, place);
        full?.set(scores!.fullRows, place * vocabSize);
        at += ids.length;
      }
    } finally {
      await sequence.end();
    }
  } finally {
    leave();
  }
  return { logProbs, top1, ...(full ? { rows: full } : {}) };
}

function check(model: TokenModel, tokens: readonly number[], start: number, withRows: boolean): void {
  const { contextLength, vocabSize } = model.config;
  checkTokens(tokens, vocabSize);
  if (!Number.isInteger(start) || start < 1 || start > tokens.length) {
    throw new RecipeError(`scoring cannot start at ${start} of ${tokens.length} tokens`, {
      where: 'start',
      fix: 'start at 1 or later',
    });
  }
  if (tokens.length > contextLength) {
    throw new RecipeError(`there are ${tokens.length} tokens but the model reads ${contextLength}`, {
      where: 'tokens',
      fix: 'score shorter pieces',
    });
  }
  if (withRows && (tokens.length - start) * vocabSize > maxRowValues) {
    throw new RecipeError(`full rows of ${tokens.length - start} tokens do not fit into memory`, {
      where: 'withRows',
      fix: 'score fewer tokens a call',
    });
  }
}
