import { CheckpointError } from '@edgedesk/tensor';
import type { AddedTokenJson, BpeModelJson, StageJson, TokenizerJson } from '../tokenizer/tokenizer-json.js';
import type { MetadataEntry } from './encode-metadata.js';
import { byteTokens, cutsInTwo, isNamedPhi, phiEatsSpaceBehind, spaceSign } from './sentencepiece-pieces.js';
import { tokenType } from './tokenizer-parts.js';

type Fail = (message: string, fix?: string) => never;

/** Whether the tokenizer was converted from SentencePiece's BPE, as that of Llama 2, Mistral, Phi-3 and Gemma. */
export const isSentencePiece = ({ model }: TokenizerJson): boolean => model.byte_fallback === true;

/**
 * A vocabulary that was converted from SentencePiece, as llama.cpp reads it: the inverse of `readSentencePiece`. A token's
 * score says when it is merged: the more, the sooner. CheckpointError when llama.cpp would cut text otherwise: it merges any
 * two neighbours that make a token, so there has to be a merge for every cut of every token, as conversion from SentencePiece
 * leaves them.
 *
 * @param tokens all tokens by id, with their `types`; both are brought to how llama.cpp writes them. @param unknown id of
 *   the token for what has no other.
 */
export function sentencePieceEntries(
  json: TokenizerJson,
  tokens: string[],
  types: Int32Array,
  unknown: number | null,
  where: string,
): MetadataEntry[] {
  const fail: Fail = (message, fix = 'run this model from the artefact') => {
    throw new CheckpointError(message, { where, fix });
  };
  const prefixed = addsSpacePrefix(json, fail);
  for (const token of json.added_tokens) {
    checkAdded(token, fail);
    // Text is searched for these before its spaces get their sign.
    if (types[token.id] === tokenType.userDefined) tokens[token.id] = token.content.replaceAll(spaceSign, ' ');
  }
  for (const byte of byteTokens) {
    const id = json.model.vocab[byte] ?? fail(`the vocabulary has no token ${byte} for bytes`);
    types[id] = tokenType.byte;
  }
  if (unknown !== null) types[unknown] = tokenType.unknown;
  const normal = tokens.filter((_, id) => types[id] === tokenType.normal);
  checkCuts(json.model, normal, new Set(tokens), fail);
  return [
    ['tokenizer.ggml.model', 'text', 'llama'],
    ['tokenizer.ggml.pre', 'text', 'default'],
    ['tokenizer.ggml.tokens', 'texts', tokens],
    ['tokenizer.ggml.scores', 'f32s', scores(json.model, tokens, new Set(normal))],
    ['tokenizer.ggml.token_type', 'i32s', types],
    ['tokenizer.ggml.add_space_prefix', 'bool', prefixed],
  ];
}

/** The name under which llama.cpp knows which tokens swallow the white space behind them: Phi-3's, by the model's name. */
export function nameForWhiteSpace(name: string, added: readonly AddedTokenJson[], where: string): string {
  const swallows = added.filter(({ rstrip }) => rstrip === true);
  const asPhi = added.every(({ content, rstrip }) => (rstrip ?? false) === phiEatsSpaceBehind(content));
  if (swallows.length === 0 && !isNamedPhi(name)) return name;
  if (asPhi) return isNamedPhi(name) ? name : `${name} (Phi-3)`;
  const [first] = swallows;
  throw new CheckpointError(
    first === undefined
      ? 'llama.cpp takes a model of this name for Phi-3, whose special tokens swallow the spaces behind them'
      : `llama.cpp does not know that ${JSON.stringify(first.content)} swallows the spaces behind it`,
    { where, fix: first === undefined ? 'rename the model' : 'run this model from the artefact' },
  );
}

/**
 * Whether a space is put before the text, and behind every special token, as llama.cpp does. transformers' `first` and
 * `always` do so at the start, where it matters most, and differ behind special tokens or before a space.
 */
function addsSpacePrefix({ normalizer, pre_tokenizer: cutter }: TokenizerJson, fail: Fail): boolean {
  const same = (stage: unknown, expected: StageJson): boolean => canonical(stage) === canonical(expected);
  const replace: StageJson = { type: 'Replace', pattern: { String: ' ' }, content: spaceSign };
  const stages = normalizer?.type === 'Sequence' ? (normalizer['normalizers'] as unknown[]) : [normalizer];
  const replaces = same(stages.at(-1), replace);
  // Gemma's cuts at spaces, of which none are left.
  const isIdle = cutter === null || (cutter.type === 'Split' && canonical(cutter['pattern']) === '{"String":" "}');
  if (replaces && isIdle) {
    if (stages.length === 1) return false;
    if (stages.length === 2 && same(stages[0], { type: 'Prepend', prepend: spaceSign })) return true;
  }
  const isWhole = cutter?.type === 'Metaspace' && cutter['replacement'] === spaceSign && cutter['split'] === false;
  if (normalizer === null && isWhole) {
    return (cutter['prepend_scheme'] ?? (cutter['add_prefix_space'] === false ? 'never' : 'always')) !== 'never';
  }
  return fail('llama.cpp prepares text for SentencePiece’s tokens otherwise than this tokenizer');
}

/** Those that are searched for after spaces are replaced (`normalized`) llama.cpp finds before: also without a space in front. */
function checkAdded({ content, lstrip, single_word: whole }: AddedTokenJson, fail: Fail): void {
  if (lstrip !== true && whole !== true) return;
  fail(`llama.cpp finds the token ${JSON.stringify(content.slice(0, 60))} in other places than this tokenizer`);
}

/** A merge's two parts. */
const parts = (merge: BpeModelJson['merges'][number]): readonly [string, string] =>
  (typeof merge === 'string' ? merge.split(' ') : merge) as [string, string];

/** Every cut of a token into two tokens must have its merge, and none may have a character for a part that stays bytes here. */
function checkCuts(
  { merges }: BpeModelJson,
  normal: readonly string[],
  all: ReadonlySet<string>,
  fail: Fail,
): void {
  const known = new Set(normal);
  const counts = new Map<string, number>();
  for (const merge of merges) {
    const [left, right] = parts(merge);
    if (known.has(left) && known.has(right)) counts.set(left + right, (counts.get(left + right) ?? 0) + 1);
  }
  const mayMerge = (part: string): boolean =>
    known.has(part) || (part.length <= 2 && !all.has(part) && [...part].length === 1);
  for (const token of normal) {
    let cuts = 0;
    for (const [left, right] of cutsInTwo(token)) if (mayMerge(left) && mayMerge(right)) cuts++;
    if (cuts === (counts.get(token) ?? 0)) continue;
    const shown = JSON.stringify(token.slice(0, 60));
    fail(`llama.cpp would make the token ${shown} where this tokenizer has no merge: it does not come from SentencePiece`);
  }
}

/**
 * The score of each token, 0 for those merged first, then -1 and so on; tokens whose merges lie among each other's had one.
 * What no merge makes comes last.
 */
function scores({ merges }: BpeModelJson, tokens: readonly string[], normal: ReadonlySet<string>): Float32Array {
  const ranks = new Map<string, { readonly first: number; last: number }>();
  merges.forEach((merge, rank) => {
    const [left, right] = parts(merge);
    // Added tokens are cut out of the text before anything is merged.
    if (!normal.has(left) || !normal.has(right) || !normal.has(left + right)) return;
    const known = ranks.get(left + right);
    if (known) known.last = rank;
    else ranks.set(left + right, { first: rank, last: rank });
  });
  const found = new Map<string, number>();
  let score = 1;
  let reached = -1;
  // In the order of their first ranks.
  for (const [token, { first, last }] of ranks) {
    if (first > reached) score--;
    reached = Math.max(reached, last);
    found.set(token, score);
  }
  return Float32Array.from(tokens, (token) => found.get(token) ?? score - 1);
}

/** `value` with its keys in order, to compare stages. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, node: unknown) =>
    typeof node === 'object' && node !== null && !Array.isArray(node)
      ? Object.fromEntries(Object.entries(node).sort(([a], [b]) => (a < b ? -1 : 1)))
      : node,
  );
}
