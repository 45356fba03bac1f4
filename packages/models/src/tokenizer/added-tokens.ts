import type { AddedTokenJson } from './tokenizer-json.js';

/** An added token in a text: `[start, end)` includes the white space that an `lstrip` or `rstrip` token swallows. */
export interface AddedTokenMatch {
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

/** A piece of text, or an added token found in it. */
export type Section = string | { readonly id: number };

/** Finds added tokens in text before anything else looks at it; of several at one place the longest wins. */
export class AddedTokenSplitter {
  private readonly pattern: RegExp | null;
  private readonly byContent: ReadonlyMap<string, AddedTokenJson>;

  constructor(tokens: readonly AddedTokenJson[]) {
    this.byContent = new Map(tokens.map((token) => [token.content, token]));
    const longestFirst = [...this.byContent.keys()].sort((a, b) => b.length - a.length);
    const escaped = longestFirst.map((content) => content.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&'));
    this.pattern = escaped.length === 0 ? null : new RegExp(escaped.join('|'), 'g');
  }

  /** All occurrences in order; they do not overlap. */
  find(text: string): AddedTokenMatch[] {
    if (this.pattern === null) return [];
    const matches: AddedTokenMatch[] = [];
    let rest = 0;
    for (const match of text.matchAll(this.pattern)) {
      const token = this.byContent.get(match[0])!;
      let start = match.index;
      let end = start + match[0].length;
      if (token.lstrip) start = rest + text.slice(rest, start).trimEnd().length;
      if (token.rstrip) end = text.length - text.slice(end).trimStart().length;
      matches.push({ id: token.id, start, end });
      rest = end;
    }
    return matches;
  }

  /** `text` cut at the added tokens; no empty texts. */
  split(text: string): Section[] {
    const sections: Section[] = [];
    let rest = 0;
    for (const { id, start, end } of this.find(text)) {
      if (start > rest) sections.push(text.slice(rest, start));
      sections.push({ id });
      rest = end;
    }
    if (rest < text.length) sections.push(text.slice(rest));
    return sections;
  }
}
