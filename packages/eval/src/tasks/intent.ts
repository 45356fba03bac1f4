import { intentPrompt, outOfScopeIntent } from '@edgedesk/models';
import type { IntentRow } from '@edgedesk/models';
import type { Engine } from '@edgedesk/runtime';
import { labelTrie, likeliestLabel } from './label-trie.js';
import type { LabelNode, TokenizedLabel } from './label-trie.js';

/** The labels of a file as an engine reads them. */
export interface LabelSet {
  readonly trie: LabelNode;
  /** Tokens of the out-of-scope label, or null when the labels have none. */
  readonly outOfScope: readonly number[] | null;
}

export interface IntentScores {
  readonly predicted: string;
  /** Higher means less likely to be one of the known intents. */
  readonly outOfScopeScore: number;
}

/** Token ids of each label behind an intent prompt, the end of the assistant's turn included. */
export function labelSet(engine: Engine, labels: readonly string[], lang: IntentRow['lang']): LabelSet {
  const messages = intentPrompt('?', lang);
  const prompt = engine.encodeChat(messages, { addGenerationPrompt: true });
  const tokenized = labels.map((label): TokenizedLabel => {
    const full = engine.encodeChat([...messages, { role: 'assistant', content: label }]);
    let end = full.length;
    while (end > 0 && engine.decode([full[end - 1]!], { skipSpecial: false }).trim() === '') end--;
    return { label, tokens: full.slice(commonPrefix(full, prompt), end) };
  });
  return {
    trie: labelTrie(tokenized),
    outOfScope: tokenized.find(({ label }) => label === outOfScopeIntent)?.tokens ?? null,
  };
}

/**
 * The likeliest label (summed log-probability of label and end of turn) and how much the message looks out of scope: the
 * log-probability of the out-of-scope label, or, without one, minus that of the likeliest label.
 */
export async function classify(
  engine: Engine,
  prompt: readonly number[],
  labels: LabelSet,
): Promise<IntentScores | null> {
  const best = await likeliestLabel(engine, prompt, labels.trie);
  if (best === null) return null;
  if (labels.outOfScope === null) return { predicted: best.label, outOfScopeScore: -best.logProb };
  const { logProbs } = await engine.score([...prompt, ...labels.outOfScope], { start: prompt.length });
  return { predicted: best.label, outOfScopeScore: logProbs.reduce((sum, value) => sum + value, 0) };
}

/** How many leading ids two sequences share. */
export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}
