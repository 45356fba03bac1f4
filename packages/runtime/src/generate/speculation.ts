import type { PassCost } from './pass-cost.js';
import { type Match, PromptLookup } from './prompt-lookup.js';

/** Tokens drafted at most: more would delay the next piece of text. */
const longestDraft = 16;
/** While drafts pay, plain calls are this short, so that the beginning of a copy is soon noticed. */
const lookAgain = 3;
/** What was seen of a match's worth counts this much less with every token that goes by. */
const forgetting = 0.98;
/** Weight of the latest pass in what drafts have gained lately; without passes the gain fades, to no less than this. */
const freshness = 0.2;
const fading = 0.99;
const leastGain = 0.8;

/** Drafted tokens that came true and drafts that went wrong, for matches of one kind. */
interface Trust {
  held: number;
  failed: number;
}

/** Before anything was seen, for matches of 1, 2, 3, 4 to 7, and 8 or more tokens. */
const initialTrust: readonly Trust[] = [
  { held: 1, failed: 2 },
  { held: 1, failed: 1 },
  { held: 2, failed: 1 },
  { held: 4, failed: 1 },
  { held: 8, failed: 1 },
];

const kindOf = (length: number): number => (length >= 8 ? 4 : length >= 4 ? 3 : length - 1);

/**
 * Decides what a conversation drafts. A draft is as long as it is expected to win time: the chance that a token holds is
 * learnt for each length of match, the price of a pass comes from `PassCost`. Where replies do not copy, no draft is
 * worth its price soon, and decoding goes on plainly until matches are trusted again.
 */
export class Speculation {
  private readonly lookup: PromptLookup;
  private readonly trust = initialTrust.map((t) => ({ ...t }));
  private match: Match | null = null;
  /** Tokens won for the price of one by the latest passes. */
  private gain = 1.2;
  draftedTokens = 0;
  acceptedTokens = 0;

  constructor(
    prompt: readonly number[],
    private readonly endIds: readonly number[],
    private readonly cost: PassCost,
  ) {
    this.lookup = new PromptLookup(prompt);
  }

  /** Tokens that a plain call should generate at most. */
  get plainTokens(): number {
    return this.gain > 1 ? lookAgain : Infinity;
  }

  /** At most `most` tokens that are worth verifying, often none. */
  draft(most: number): readonly number[] {
    this.match = this.lookup.find(Math.min(most, longestDraft));
    if (this.match === null) return [];
    // Nothing is picked behind an end token, and the end token itself is picked behind the one before it.
    const end = this.match.draft.findIndex((token) => this.endIds.includes(token));
    const foreseen = end < 0 ? this.match.draft : this.match.draft.slice(0, end);
    const { held, failed } = this.trust[kindOf(this.match.length)]!;
    const chance = held / (held + failed);
    let [best, length, expected] = [1, 0, 1];
    for (let drafted = 1; drafted <= foreseen.length; drafted++) {
      expected += chance ** drafted;
      const rate = expected / this.cost.of(drafted);
      if (rate > best) [best, length] = [rate, drafted];
    }
    return foreseen.slice(0, length);
  }

  /** The call with `draft` (empty: a plain one) brought `tokens` in `elapsedMs`. */
  took(draft: readonly number[], tokens: readonly number[], elapsedMs: number): void {
    if (draft.length === 0) {
      this.cost.plainTook(elapsedMs, tokens.length);
      this.gain = Math.max(leastGain, this.gain * fading ** tokens.length);
    } else {
      this.verified(draft.length, tokens.length, elapsedMs);
    }
    this.heard(tokens);
  }

  /** Tokens that came with the prompt's last piece, which says nothing about costs. */
  heard(tokens: readonly number[]): void {
    this.lookup.push(tokens);
    const kept = forgetting ** tokens.length;
    for (const [i, trust] of this.trust.entries()) {
      const { held, failed } = initialTrust[i]!;
      trust.held = held + kept * (trust.held - held);
      trust.failed = failed + kept * (trust.failed - failed);
    }
  }

  private verified(drafted: number, tokens: number, elapsedMs: number): void {
    const accepted = tokens - 1;
    const trust = this.trust[kindOf(this.match!.length)]!;
    trust.held += accepted;
    if (accepted < drafted) trust.failed++;
    this.gain += freshness * (tokens / this.cost.of(drafted) - this.gain);
    this.cost.passTook(elapsedMs, drafted);
    this.draftedTokens += drafted;
    this.acceptedTokens += accepted;
  }
}
