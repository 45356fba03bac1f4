import { CheckpointError } from '@edgedesk/tensor';
import type { ChatMessage } from './tokenizer.js';

/**
 * Keeps special tokens that somebody typed from being taken for the template's: a mark, a character that occurs nowhere
 * in the conversation, is put into each of them before rendering and taken out again before encoding.
 */
export class Defuser {
  private readonly pattern: RegExp | null;
  /** Beginnings and ends of special tokens: with the template's text beside them they could become whole. */
  private readonly fragments = { heads: new Set<string>(), tails: new Set<string>() };
  private readonly longest: number;

  constructor(specialTokens: readonly string[]) {
    const escaped = [...specialTokens]
      .sort((a, b) => b.length - a.length)
      .map((token) => token.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&'));
    this.pattern = escaped.length === 0 ? null : new RegExp(escaped.join('|'), 'gu');
    this.longest = Math.max(0, ...specialTokens.map((token) => token.length - 1));
    for (const token of specialTokens) {
      for (let k = 1; k < token.length; k++) {
        this.fragments.heads.add(token.slice(0, k));
        this.fragments.tails.add(token.slice(k));
      }
    }
  }

  /** `messages` in which no special token is left, all broken by `mark`. */
  defuse(messages: readonly ChatMessage[], mark: string): ChatMessage[] {
    return messages.map(({ role, content }) => ({ role, content: this.defuseText(content, mark) }));
  }

  private defuseText(content: string, mark: string): string {
    if (this.pattern === null) return content;
    let text = content;
    // Breaking one token can uncover another that overlapped it.
    while (text.search(this.pattern) >= 0) {
      text = text.replace(this.pattern, (token) => {
        const [first] = token;
        return `${first}${mark}${token.slice(first!.length)}`;
      });
    }
    const core = text.trim();
    const head = text.indexOf(core);
    const opens = this.touches(this.fragments.tails, (k) => core.slice(0, k));
    const closes = this.touches(this.fragments.heads, (k) => core.slice(-k));
    if (core === '' || (!opens && !closes)) return text;
    return `${text.slice(0, head)}${opens ? mark : ''}${core}${closes ? mark : ''}${text.slice(head + core.length)}`;
  }

  private touches(fragments: ReadonlySet<string>, edge: (length: number) => string): boolean {
    for (let k = 1; k <= this.longest; k++) if (fragments.has(edge(k))) return true;
    return false;
  }
}

/** A private-use character that none of the texts holds. */
export function unusedCharacter(texts: readonly string[]): string {
  for (let code = 0xe000; code < 0xf900; code++) {
    const char = String.fromCharCode(code);
    if (!texts.some((text) => text.includes(char))) return char;
  }
  throw new CheckpointError('the conversation uses every private-use character', { where: 'messages' });
}
