import { CheckpointError } from '@edgedesk/tensor';

/** A token that is found in the text before merging: specials, and marks such as `<tool_call>`. */
export interface AddedTokenJson {
  readonly id: number;
  readonly content: string;
  readonly single_word?: boolean;
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  readonly normalized?: boolean;
  readonly special?: boolean;
}

/** A token that is cut out of the text as it stands. */
export const addedToken = (id: number, content: string, special: boolean): AddedTokenJson => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special,
});

/** A step of the tokenizer's pipeline as written in the file; `@huggingface/tokenizers` interprets it. */
export interface StageJson {
  readonly type: string;
  readonly [key: string]: unknown;
}

export interface BpeModelJson {
  readonly type: 'BPE';
  readonly unk_token?: string | null;
  readonly continuing_subword_prefix?: string | null;
  readonly end_of_word_suffix?: string | null;
  readonly fuse_unk?: boolean;
  readonly byte_fallback?: boolean;
  readonly ignore_merges?: boolean;
  readonly dropout?: number | null;
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges: readonly (string | readonly [string, string])[];
}

/** `tokenizer.json` of the `tokenizers` library, version 1.0, with a BPE model: what llama, mistral and qwen use. */
export interface TokenizerJson {
  readonly version?: string;
  readonly truncation?: unknown;
  readonly padding?: unknown;
  readonly added_tokens: readonly AddedTokenJson[];
  readonly normalizer: StageJson | null;
  readonly pre_tokenizer: StageJson | null;
  readonly post_processor: StageJson | null;
  readonly decoder: StageJson | null;
  readonly model: BpeModelJson;
}

/** Limits on a `tokenizer.json`, which is untrusted. The largest public vocabularies have 262,144 tokens in 33 MB. */
export const tokenizerLimits = {
  maxFileBytes: 64 * 2 ** 20,
  /** Entries, and the largest id: ids index arrays. */
  maxVocab: 2 ** 20,
  maxMerges: 2 ** 21,
  maxAddedTokens: 16_384,
  maxAddedTokenLength: 512,
  /** Nesting and total size of the pipeline's description: patterns are compiled, character maps are stored. */
  maxStageDepth: 8,
  maxStageCharacters: 2 ** 20,
} as const;

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Checks parsed JSON; CheckpointError naming the key when it is not a tokenizer this package can run. */
export function parseTokenizerJson(json: unknown, where: string): TokenizerJson {
  const fail = (message: string, fix = 'use the tokenizer.json that came with the model'): never => {
    throw new CheckpointError(message, { where, fix });
  };
  if (!isObject(json)) return fail('this is not a tokenizer: the file holds no JSON object');
  const { model } = json;
  if (!isObject(model)) return fail('the key `model` is missing');
  if (model['type'] !== undefined && model['type'] !== 'BPE') {
    return fail(`the tokenizer model ${quote(model['type'])} is not supported`, 'use a model with a BPE tokenizer');
  }
  const { vocab, merges } = model;
  if (!isObject(vocab)) return fail('`model.vocab` is not an object of token ids');
  const ids = Object.values(vocab);
  if (ids.length === 0 || ids.length > tokenizerLimits.maxVocab) {
    return fail(`\`model.vocab\` has ${ids.length} entries, not 1 to ${tokenizerLimits.maxVocab}`);
  }
  const seen = new Set<unknown>();
  for (const id of ids) {
    if (!isId(id)) return fail(`\`model.vocab\` has the id ${quote(id)}`);
    if (seen.has(id)) return fail(`\`model.vocab\` gives the id ${quote(id)} twice`);
    seen.add(id);
  }
  if (!Array.isArray(merges) || merges.length > tokenizerLimits.maxMerges) {
    return fail(`\`model.merges\` is not a list of at most ${tokenizerLimits.maxMerges} pairs`);
  }
  merges.forEach((merge: unknown, i) => {
    const parts = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!Array.isArray(parts) || parts.length !== 2) fail(`\`model.merges[${i}]\` is not a pair of tokens`);
    const [left, right] = parts as [unknown, unknown];
    if (typeof left !== 'string' || typeof right !== 'string' || typeof merge !== typeof merges[0]) {
      return fail(`\`model.merges[${i}]\` is not a pair of tokens`);
    }
    for (const part of [left, right, left + right]) {
      if (!Object.hasOwn(vocab, part)) fail(`\`model.merges[${i}]\` uses ${quote(part)}, which is not in the vocabulary`);
    }
  });
  for (const key of ['continuing_subword_prefix', 'end_of_word_suffix', 'dropout'] as const) {
    if (model[key] !== undefined && model[key] !== null && model[key] !== '' && model[key] !== 0) {
      return fail(`\`model.${key}\` is set, which is not supported`, 'use a model with a plain BPE tokenizer');
    }
  }
  for (const key of ['fuse_unk', 'byte_fallback', 'ignore_merges'] as const) {
    if (!['boolean', 'undefined'].includes(typeof model[key])) return fail(`\`model.${key}\` is not true or false`);
  }
  const unk = model['unk_token'] ?? null;
  if (unk !== null && (typeof unk !== 'string' || !Object.hasOwn(vocab, unk))) {
    return fail('`model.unk_token` is not in the vocabulary');
  }
  return {
    added_tokens: addedTokens(json['added_tokens'], fail),
    normalizer: stage(json['normalizer'], 'normalizer', fail),
    pre_tokenizer: stage(json['pre_tokenizer'], 'pre_tokenizer', fail),
    post_processor: stage(json['post_processor'], 'post_processor', fail),
    decoder: stage(json['decoder'], 'decoder', fail),
    model: { ...model, type: 'BPE', vocab, merges } as unknown as BpeModelJson,
  };
}

function addedTokens(value: unknown, fail: (message: string) => never): AddedTokenJson[] {
  const list = value ?? [];
  if (!Array.isArray(list) || list.length > tokenizerLimits.maxAddedTokens) {
    return fail(`\`added_tokens\` is not a list of at most ${tokenizerLimits.maxAddedTokens} tokens`);
  }
  const contents = new Set<string>();
  return list.map((token: unknown, i) => {
    if (!isObject(token)) return fail(`\`added_tokens[${i}]\` is not an object`);
    const { id, content } = token;
    if (!isId(id)) return fail(`\`added_tokens[${i}].id\` is ${quote(id)}`);
    if (
      typeof content !== 'string' ||
      content.length === 0 ||
      content.length > tokenizerLimits.maxAddedTokenLength
    ) {
      return fail(
        `\`added_tokens[${i}].content\` is not a text of 1 to ${tokenizerLimits.maxAddedTokenLength} characters`,
      );
    }
    if (contents.has(content)) return fail(`\`added_tokens\` lists ${quote(content)} twice`);
    contents.add(content);
    for (const key of ['single_word', 'lstrip', 'rstrip', 'normalized', 'special'] as const) {
      if (!['boolean', 'undefined'].includes(typeof token[key])) {
        fail(`\`added_tokens[${i}].${key}\` is not true or false`);
      }
    }
    return token as unknown as AddedTokenJson;
  });
}

function stage(value: unknown, key: string, fail: (message: string) => never): StageJson | null {
  if (value === undefined || value === null) return null;
  if (!isObject(value) || typeof value['type'] !== 'string') return fail(`\`${key}\` has no \`type\``);
  let characters = 0;
  const visit = (node: unknown, depth: number): void => {
    if (depth > tokenizerLimits.maxStageDepth) fail(`\`${key}\` is nested too deeply`);
    if (typeof node === 'string') characters += node.length;
    if (++characters > tokenizerLimits.maxStageCharacters) fail(`\`${key}\` is too large`);
    if (typeof node !== 'object' || node === null) return;
    const { type, pattern } = node as { type?: unknown; pattern?: { Regex?: unknown; String?: unknown } | null };
    if ((type === 'Split' || type === 'Replace') && typeof (pattern?.Regex ?? pattern?.String) !== 'string') {
      fail(`a ${type} stage of \`${key}\` has no \`pattern\``);
    }
    for (const [name, child] of Object.entries(node)) {
      characters += name.length;
      visit(child, depth + 1);
    }
  };
  visit(value, 0);
  return value as unknown as StageJson;
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < tokenizerLimits.maxVocab;
}

/** `value` for a message: short, on one line. */
function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
