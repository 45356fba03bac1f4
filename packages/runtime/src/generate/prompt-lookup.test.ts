import { describe, expect, it } from 'vitest';
import { PassCost } from './pass-cost.js';
import { PromptLookup } from './prompt-lookup.js';
import { Speculation } from './speculation.js';

describe('the prompt lookup', () => {
  it('goes on from the longest match, of equal ones the newest', () => {
    const lookup = new PromptLookup([1, 2, 3, 4, 5, 9, 2, 3, 7, 8, 9, 3, 6, 0]);
    expect(lookup.find(4)).toBeNull();
    lookup.push([3]);
    expect(lookup.find(4)).toEqual({ length: 1, draft: [6, 0, 3] });
    lookup.push([4, 1, 2, 3]);
    expect(lookup.find(3)).toEqual({ length: 3, draft: [4, 5, 9] });
    lookup.push([7, 2, 3]);
    expect(lookup.find(2)).toEqual({ length: 2, draft: [7, 2] });
  });

  it('counts a match no further than the beginning of the text', () => {
    const lookup = new PromptLookup([5, 6]);
    lookup.push([5]);
    expect(lookup.find(9)).toEqual({ length: 1, draft: [6, 5] });
    expect(new PromptLookup([]).find(9)).toBeNull();
    expect(new PromptLookup([5]).find(9)).toBeNull();
  });

  it('does not slow down where one token fills the text', () => {
    const lookup = new PromptLookup(new Array<number>(8000).fill(3));
    expect(lookup.find(4)).toEqual({ length: 8, draft: [3] });
    lookup.push([4, 3, 3]);
    expect(lookup.find(4)).toEqual({ length: 2, draft: [4, 3, 3] });
  });
});

describe('speculation', () => {
  const sentence = Array.from({ length: 90 }, (_, i) => 100 + i);

  it('drafts further the longer the match and the better it went', () => {
    const speculation = new Speculation([...sentence, 1], [], new PassCost());
    const lengths: number[] = [];
    speculation.heard(sentence.slice(0, 1));
    for (let at = 1; at < 88;) {
      const draft = speculation.draft(88 - at);
      lengths.push(draft.length);
      expect(draft).toEqual(sentence.slice(at, at + draft.length));
      const tokens = sentence.slice(at, at + draft.length + 1);
      speculation.took(draft, tokens, 10);
      at += tokens.length;
    }
    expect(Math.max(...lengths)).toBeGreaterThanOrEqual(12);
    expect(lengths[0]).toBeLessThan(4);
    expect(speculation.acceptedTokens).toBe(speculation.draftedTokens);
    expect(lengths.length).toBeLessThan(16);
  });

  it('stops drafting where nothing comes true, and starts again later', () => {
    const speculation = new Speculation([...sentence, 1], [], new PassCost());
    const wrong = (i: number) => {
      speculation.heard(sentence.slice(0, 2));
      const draft = speculation.draft(16);
      speculation.took(draft, [500 + i], 10);
      return draft.length;
    };
    const lengths = Array.from({ length: 30 }, (_, i) => wrong(i));
    expect(lengths[0]).toBeGreaterThan(0);
    expect(lengths.filter((n) => n > 0).length).toBeLessThan(8);
    expect(speculation.plainTokens).toBe(Infinity);
    speculation.heard(Array.from({ length: 400 }, (_, i) => 1000 + i));
    expect(wrong(99)).toBeGreaterThan(0);
  });

  it('drafts nothing past a token that ends the reply, nor past what is asked for', () => {
    const speculation = new Speculation([...sentence, 1], [105], new PassCost());
    speculation.heard(sentence.slice(0, 3));
    expect(speculation.draft(16)).toEqual([103, 104]);
    expect(speculation.draft(1)).toEqual([103]);
    expect(speculation.draft(0)).toEqual([]);
  });

  it('drafts less where a pass is dear', () => {
    const drafted = (passMs: number) => {
      const cost = new PassCost();
      for (let i = 0; i < 100; i++) {
        cost.plainTook(40, 4);
        cost.passTook(passMs * (1 + 0.27 * 4), 4);
      }
      const speculation = new Speculation([...sentence, 1], [], cost);
      speculation.heard(sentence.slice(0, 4));
      return speculation.draft(16).length;
    };
    expect(drafted(2)).toBeGreaterThanOrEqual(drafted(10));
    expect(drafted(10)).toBeGreaterThan(drafted(35));
    expect(drafted(1e6)).toBe(0);
  });
});
