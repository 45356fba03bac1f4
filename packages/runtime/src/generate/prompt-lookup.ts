/** Tokens that a match is followed back for: beyond this it is as good as certain. */
const longestMatch = 8;
/** Earlier places of the last token that are looked at, the newest first: bounds the work of a step. */
const placesTried = 64;

/** An earlier place in the text that goes on from the tokens the text ends with now. */
export interface Match {
  /** Tokens that agree before the place, 1 to `longestMatch`. */
  readonly length: number;
  /** Up to as many tokens as were asked for, from the place on. */
  readonly draft: readonly number[];
}

/**
 * Finds what may come next by looking where the last tokens stood before, in the prompt or in the reply so far: the
 * longest match is taken, of equal ones the newest.
 *
 * Saxena 2023, "Prompt lookup decoding" (github.com/apoorvumang/prompt-lookup-decoding); Yang et al. 2023, "Inference
 * with Reference" (arXiv:2304.04487). There the match has a fixed length; here every length counts, since
 * `Speculation` knows how far each can be trusted.
 */
export class PromptLookup {
  private readonly tokens: number[] = [];
  /** For each token the places right behind it, ascending. */
  private readonly placesBehind = new Map<number, number[]>();

  constructor(prompt: readonly number[]) {
    this.push(prompt);
  }

  push(tokens: readonly number[]): void {
    for (const token of tokens) {
      this.tokens.push(token);
      const places = this.placesBehind.get(token);
      if (places) places.push(this.tokens.length);
      else this.placesBehind.set(token, [this.tokens.length]);
    }
  }

  /** The best match, or null when the last token is new. */
  find(most: number): Match | null {
    const { tokens } = this;
    const end = tokens.length;
    const places = this.placesBehind.get(tokens[end - 1] ?? -1) ?? [];
    let length = 0;
    let place = end;
    // The last of the places is the end itself.
    const oldest = Math.max(0, places.length - 1 - placesTried);
    for (let i = places.length - 2; i >= oldest && length < longestMatch; i--) {
      const common = this.commonBefore(places[i]!);
      if (common > length) [length, place] = [common, places[i]!];
    }
    return length === 0 ? null : { length, draft: tokens.slice(place, place + most) };
  }

  /** How many tokens before `place` are those the text ends with. */
  private commonBefore(place: number): number {
    const { tokens } = this;
    const most = Math.min(longestMatch, place);
    let length = 0;
    while (length < most && tokens[place - 1 - length] === tokens[tokens.length - 1 - length]) length++;
    return length;
  }
}
