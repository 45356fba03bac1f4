import type { StreamDecoder } from './tokenizer.js';

/** What a token adds to the text: bytes of a byte-level token, a text of its own, or nothing (a skipped special). */
export type TokenPiece = Uint8Array<ArrayBuffer> | string;

/** Bytes are decoded as a stream, so a character appears when its last byte has come. */
export class ByteStreamDecoder implements StreamDecoder {
  private utf8 = newUtf8();

  constructor(private readonly pieceOf: (id: number) => TokenPiece) {}

  push(ids: readonly number[]): string {
    let text = '';
    for (const id of ids) {
      const piece = this.pieceOf(id);
      if (typeof piece !== 'string') text += this.utf8.decode(piece, { stream: true });
      else if (piece !== '') text += this.end() + piece;
    }
    return text;
  }

  end(): string {
    const rest = this.utf8.decode();
    this.utf8 = newUtf8();
    return rest;
  }
}

function newUtf8(): TextDecoder {
  return new TextDecoder('utf-8', { ignoreBOM: true });
}

/** An incomplete character spans at most four byte tokens; text that stays unreadable longer is given out as it is. */
const maxHeldBack = 8;

/**
 * For models whose decoder looks at neighbouring tokens: decodes a short window again and gives out what is new, holding
 * back while it ends in U+FFFD.
 */
export class WindowStreamDecoder implements StreamDecoder {
  private window: number[] = [];
  /** Tokens at the window's front that were given out already; they are context for the rest. */
  private given = 0;

  constructor(private readonly decode: (ids: readonly number[]) => string) {}

  push(ids: readonly number[]): string {
    let text = '';
    for (const id of ids) {
      this.window.push(id);
      text += this.take(this.window.length - this.given > maxHeldBack);
    }
    return text;
  }

  end(): string {
    const text = this.take(true);
    this.window = [];
    this.given = 0;
    return text;
  }

  private take(force: boolean): string {
    if (this.given === this.window.length) return '';
    const before = this.given === 0 ? '' : this.decode(this.window.slice(0, this.given));
    const whole = this.decode(this.window);
    if (!force && whole.endsWith('\uFFFD')) return '';
    const fresh = this.window.length - this.given;
    this.window = this.window.slice(-Math.max(fresh, 4));
    this.given = this.window.length;
    return whole.slice(before.length);
  }
}
