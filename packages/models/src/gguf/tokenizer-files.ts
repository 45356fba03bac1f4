import { CheckpointError } from '@edgedesk/tensor';
import { addedToken, type AddedTokenJson, type TokenizerJson } from '../tokenizer/tokenizer-json.js';
import { tokenizerLimits } from '../tokenizer/tokenizer-json.js';
import type { Metadata } from './metadata.js';
import { preTokenization } from './pre-tokenizers.js';
import { readSentencePiece } from './sentencepiece.js';
import { specialIds } from './special-ids.js';
import { beginWith, type GgufTokenizer, named, padding, tokenType, type Vocabulary } from './tokenizer-parts.js';

/**
 * The tokenizer in a file's metadata as a `tokenizer.json`, for byte-level BPE (`gpt2`) and SentencePiece's BPE (`llama`).
 * CheckpointError for other kinds, and when lists are missing or do not fit each other.
 */
export function readTokenizer(metadata: Metadata): GgufTokenizer {
  const { where } = metadata;
  const fail = (message: string, fix = 'convert the model again'): never => {
    throw new CheckpointError(message, { where, fix });
  };
  const kind = metadata.text('tokenizer.ggml.model');
  if (kind !== 'gpt2' && kind !== 'llama') {
    const shown = kind === undefined ? 'no tokenizer' : `a tokenizer of the kind \`${kind.slice(0, 80)}\``;
    return fail(
      `the file has ${shown}; only byte-level BPE (\`gpt2\`) and SentencePiece's (\`llama\`) are supported`,
      'use the Hugging Face checkpoint',
    );
  }
  const tokens = metadata.texts('tokenizer.ggml.tokens') ?? fail('`tokenizer.ggml.tokens` is missing');
  const types = metadata.integers('tokenizer.ggml.token_type');
  if (tokens.length > tokenizerLimits.maxVocab) fail(`the vocabulary has ${tokens.length} tokens`);
  if (types !== undefined && types.length !== tokens.length) {
    fail(`there are ${types.length} token types for ${tokens.length} tokens`);
  }
  if (kind === 'llama') return readSentencePiece(metadata, { tokens, types, fail });
  return readByteLevel(metadata, { tokens, types, fail });
}

function readByteLevel(metadata: Metadata, { tokens, types, fail }: Vocabulary): GgufTokenizer {
  const { where } = metadata;
  const merges = metadata.texts('tokenizer.ggml.merges') ?? fail('`tokenizer.ggml.merges` is missing');
  const pre = preTokenization(metadata.text('tokenizer.ggml.pre'), where);
  const ids = specialIds(metadata, tokens, pre.addBos);

  const roles = new Set([ids.bos, ids.pad, ids.unknown, ...ids.ends]);
  const vocab = new Map<string, number>();
  const added: AddedTokenJson[] = [];
  const seen = new Set<string>();
  tokens.forEach((token, id) => {
    const type = types?.[id] ?? tokenType.normal;
    if (type === tokenType.unused && padding.test(token)) return;
    if (seen.has(token)) fail(`the token ${JSON.stringify(token.slice(0, 60))} comes twice in the vocabulary`);
    seen.add(token);
    const special = type === tokenType.control || type === tokenType.unknown || roles.has(id);
    if (special || type === tokenType.userDefined) added.push(addedToken(id, token, special));
    else vocab.set(token, id);
  });
  const json: TokenizerJson = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: pre.normalizer,
    pre_tokenizer: pre.preTokenizer,
    post_processor: ids.addBos ? beginWith(tokens[ids.bos!]!, ids.bos!) : null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre.ignoreMerges,
      vocab: Object.fromEntries(withMerged(vocab, added, merges)),
      merges,
    },
  };
  return { json, chatTemplate: metadata.text('tokenizer.chat_template') ?? null, namedTokens: named(tokens, ids), ids };
}

/** The tokenizer as the files that the transformers libraries read. @param contextLength longest input in tokens. */
export function tokenizerFiles(tokenizer: GgufTokenizer, contextLength: number): ReadonlyMap<string, string> {
  const { json, chatTemplate, namedTokens, ids } = tokenizer;
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    added_tokens_decoder: Object.fromEntries(json.added_tokens.map(({ id, ...token }) => [id, token] as const)),
    add_bos_token: ids.addBos,
    bos_token: null,
    eos_token: null,
    pad_token: null,
    unk_token: null,
    ...namedTokens,
    clean_up_tokenization_spaces: false,
    model_max_length: contextLength,
    ...(chatTemplate === null ? {} : { chat_template: chatTemplate }),
  };
  return new Map([
    ['tokenizer.json', pretty(json)],
    ['tokenizer_config.json', pretty(config)],
    ['special_tokens_map.json', pretty(namedTokens)],
    ...(chatTemplate === null ? [] : [['chat_template.jinja', chatTemplate] as const]),
  ]);
}

/** The vocabulary with those added tokens that merges make, too: otherwise added tokens are no part of it. */
function withMerged(
  vocab: ReadonlyMap<string, number>,
  added: readonly AddedTokenJson[],
  merges: readonly string[],
): ReadonlyMap<string, number> {
  const byContent = new Map(added.map(({ content, id }) => [content, id]));
  const all = new Map(vocab);
  for (const merge of merges) {
    const space = merge.indexOf(' ');
    for (const part of [merge.slice(0, space), merge.slice(space + 1), merge.replace(' ', '')]) {
      const id = byContent.get(part);
      if (id !== undefined) all.set(part, id);
    }
  }
  return all;
}

function pretty(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
