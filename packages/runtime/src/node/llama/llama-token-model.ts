import type { DecoderConfig } from '@edgedesk/models';
import type { Decoding, Scores, Sequence, TokenModel } from '@edgedesk/runtime';
import { pickToken } from '@edgedesk/runtime';
import type { LlamaModel, Token } from 'node-llama-cpp';
import { type Found, LlamaRows, type Wanted } from './llama-rows.js';
import { RowPool } from './row-pool.js';

export interface LlamaModelSettings {
  readonly config: DecoderConfig;
  readonly model: LlamaModel;
  readonly threads: number;
  /** Memory for keys and values of running and finished sequences; running ones may exceed it. */
  readonly prefixCacheBytes: number;
}

/** llama.cpp as a `TokenModel`: it computes in threads of its own, the sampling is ours. */
export class LlamaTokenModel implements TokenModel {
  readonly config: DecoderConfig;
  private readonly pool: RowPool;
  /** The last scored sequence, unless it is being scored. */
  private scored: LlamaRows | null = null;
  private readonly create: (tokens: number) => Promise<LlamaRows>;

  constructor(private readonly settings: LlamaModelSettings) {
    const { config, model, threads, prefixCacheBytes } = settings;
    this.config = config;
    this.create = (tokens) =>
      LlamaRows.create(model, config, Math.min(tokens, config.contextLength), threads);
    this.pool = new RowPool(
      this.create,
      (tokens) => LlamaRows.bytes(config, LlamaRows.capacityFor(tokens)),
      prefixCacheBytes,
    );
  }

  async begin(tokens: readonly number[], reserve: number): Promise<Sequence> {
    const needed = Math.min(reserve, this.config.contextLength);
    const rows = await this.pool.take(tokens, tokens.length - 1, needed);
    return this.sequence(rows, () => this.pool.put(rows));
  }

  async beginScoring(tokens: readonly number[], limit: number): Promise<Sequence> {
    let rows = this.scored;
    this.scored = null;
    if (rows !== null && rows.capacity < tokens.length) {
      await rows.dispose();
      rows = null;
    }
    rows ??= await this.create(tokens.length);
    await rows.truncate(Math.min(rows.commonPrefix(tokens), limit));
    const taken = rows;
    return this.sequence(taken, () => {
      this.scored = taken;
      return Promise.resolve();
    });
  }

  async release(): Promise<void> {
    await this.pool.clear();
    await this.scored?.dispose();
    this.scored = null;
    await this.settings.model.dispose();
  }

  private sequence(rows: LlamaRows, handBack: () => Promise<void>): Sequence {
    const { vocabSize } = this.config;
    return {
      cachedTokens: rows.tokens.length,
      read: async (ids) => {
        await rows.read(ids);
      },
      generate: (ids, decoding) => generate(rows, ids, decoding),
      score: (ids, targets, withRows) => score(rows, ids, targets, withRows ? vocabSize : 0),
      end: handBack,
    };
  }
}

/** Greedy tokens are picked by llama.cpp; for others it hands out the logits that can matter. */
async function generate(rows: LlamaRows, ids: readonly number[], decoding: Decoding): Promise<number[]> {
  const { sampling, endIds, uniforms, draft } = decoding;
  const seen = new Set(sampling.greedy ? [] : [...rows.tokens, ...ids]);
  const tokens: number[] = [];
  const wanted = (): Wanted => {
    if (sampling.greedy) return { token: true, options: { temperature: 0 } };
    const { topK, repetitionPenalty } = sampling;
    if (topK === 0) return { logits: true };
    // The penalty can push as many tokens out of the likeliest as have been seen.
    const includeTop = topK + (repetitionPenalty === 1 ? 0 : seen.size + uniforms.length);
    return { logits: { filter: { tokens: [], includeTop } } };
  };
  const pick = (found: Found | undefined): number => {
    const token = sampling.greedy
      ? found!.token!
      : pickToken(candidatesOf(found!.logits!), sampling, seen, uniforms[tokens.length]!);
    seen.add(token);
    tokens.push(token);
    return token;
  };
  let next = [...ids, ...draft];
  let firstPick = ids.length - 1;
  let guess = draft;
  for (;;) {
    const before = rows.tokens.length;
    const found = await rows.read(next, (i) => (i >= firstPick ? wanted() : undefined));
    for (let i = firstPick; i < next.length; i++) {
      const token = pick(found[i]);
      if (endIds.includes(token) || tokens.length === uniforms.length || token !== guess[i - firstPick]) {
        await rows.truncate(before + i + 1);
        break;
      }
    }
    const last = tokens.at(-1)!;
    if (draft.length > 0 || endIds.includes(last) || tokens.length === uniforms.length) return tokens;
    next = [last];
    firstPick = 0;
    guess = [];
  }
}

function candidatesOf(logits: ReadonlyMap<Token, number>): { ids: number[]; logits: number[] } {
  return { ids: [...logits.keys()], logits: [...logits.values()] };
}

/** With `rowSize` also whole rows of so many tokens, otherwise only what a score needs is handed out. */
async function score(
  rows: LlamaRows,
  ids: readonly number[],
  targets: readonly number[],
  rowSize: number,
): Promise<Scores> {
  const first = ids.length - targets.length;
  const logProbs = new Float32Array(targets.length);
  const top1 = new Int32Array(targets.length);
  const fullRows = new Float32Array(targets.length * rowSize);
  const found = await rows.read(ids, (i): Wanted | undefined => {
    if (i < first) return undefined;
    if (rowSize > 0) return { logits: true, options: { temperature: 0 } };
    const filter = { tokens: [targets[i - first]! as Token], includeSelected: true };
    return { token: true, logits: { filter }, totalLogitWeight: true, options: { temperature: 0 } };
  });
  for (const [place, target] of targets.entries()) {
    const { token, logits, totalLogitWeight } = found[first + place]!;
    if (rowSize > 0) {
      const row = fullRows.subarray(place * rowSize, (place + 1) * rowSize);
      for (const [id, logit] of logits!) row[id] = logit;
      top1[place] = logSoftmax(row);
      logProbs[place] = row[target]!;
    } else {
      // Greedy: the token that was picked has the largest logit, by which the weights are divided.
      top1[place] = token!;
      logProbs[place] = logits!.get(target as Token)! - logits!.get(token!)! - Math.log(totalLogitWeight!);
    }
  }
  return { logProbs, top1, fullRows };
}

/** Turns logits into log-probabilities in place and returns the likeliest token. */
function logSoftmax(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i;
  const peak = row[best]!;
  let total = 0;
  for (const x of row) total += Math.exp(x - peak);
  const shift = peak + Math.log(total);
  for (let i = 0; i < row.length; i++) row[i]! -= shift;
  return best;
}
