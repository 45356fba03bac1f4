import { RecipeError } from '@edgedesk/tensor';

/** More or longer stop sequences than any API allows (OpenAI: four). */
const maxStops = 16;
const maxStopLength = 256;

/**
 * Lets text through until a stop sequence is complete, holding back an end that may still become one. The sequence that
 * is complete first decides, so the result does not depend on how the text arrives.
 */
export class StopText {
  /** A stop sequence has come; nothing more passes. */
  stopped = false;
  private held = '';

  /** RecipeError when a sequence is empty or too long, or there are too many. */
  constructor(private readonly stops: readonly string[]) {
    if (stops.length > maxStops || stops.some((s) => s === '' || s.length > maxStopLength)) {
      throw new RecipeError(
        `at most ${maxStops} stop sequences of 1 to ${maxStopLength} characters are allowed`,
        {
          where: 'stop',
          fix: 'give fewer or shorter ones',
        },
      );
    }
  }

  /** The part of the text so far that is certain to belong to the reply and was not returned before. */
  push(text: string): string {
    if (this.stopped) return '';
    this.held += text;
    const found = this.stops
      .map((s) => ({ at: this.held.indexOf(s), length: s.length }))
      .filter(({ at }) => at >= 0)
      .sort((a, b) => a.at + a.length - (b.at + b.length) || a.at - b.at);
    if (found[0]) {
      this.stopped = true;
      return this.release(found[0].at);
    }
    let keep = 0;
    for (const stop of this.stops) {
      let length = Math.min(stop.length - 1, this.held.length);
      while (length > keep && !this.held.endsWith(stop.slice(0, length))) length--;
      keep = Math.max(keep, length);
    }
    return this.release(this.held.length - keep);
  }

  /** What was held back, once no more text can come. */
  end(): string {
    return this.stopped ? '' : this.release(this.held.length);
  }

  private release(length: number): string {
    const text = this.held.slice(0, length);
    this.held = this.held.slice(length);
    return text;
  }
}
