import { describe, expect, it } from 'vitest';
import { passageUsed } from './passage-used.js';

describe('passageUsed', () => {
  const passages = [
    'Parcels under $49 cost $4.95 to send. Furniture goes by freight, which is priced at checkout by weight and distance.',
    'Returns are free within 60 days. Print the label from your account and drop the parcel at any post office.',
    '满99元包邮，不满99元收运费8元。',
  ];
  it('finds the passage that a rewording rests on, in both languages', () => {
    expect(passageUsed('You can return it for free within 60 days.', passages)).toBe(1);
    expect(passageUsed('Sending a parcel costs $4.95 below $49.', passages)).toBe(0);
    expect(passageUsed('不满99元的话要收8元运费哦', passages)).toBe(2);
  });
  it('finds none for a reply that shares nothing', () => {
    expect(passageUsed('ZZZ', passages)).toBe(-1);
    expect(passageUsed('', passages)).toBe(-1);
    expect(passageUsed('anything', [])).toBe(-1);
  });
});
