import { CheckpointError } from '@edgedesk/tensor';
import { parseJson } from '../checkpoint/read-json.js';
import type { DecoderConfig } from '../config.js';
import { templateIn } from '../tokenizer/load-tokenizer.js';
import { parseTokenizerJson, type TokenizerJson } from '../tokenizer/tokenizer-json.js';
import type { MetadataEntry } from './encode-metadata.js';
import { preTokenizerName } from './pre-tokenizers.js';
import { isSentencePiece, nameForWhiteSpace, sentencePieceEntries } from './sentencepiece-metadata.js';
import { endTexts, turnEndTexts } from './special-ids.js';
import { tokenType } from './tokenizer-parts.js';

export interface WrittenTokenizer {
  readonly entries: readonly MetadataEntry[];
  /** The model's name, so changed that llama.cpp treats white space as this tokenizer does. */
  readonly modelName: string;
}

/**
 * A checkpoint's tokenizer as llama.cpp reads it: the inverse of `readTokenizer`. Rows of the embedding that no token has
 * get names as from llama.cpp's own converter. CheckpointError when a file is missing or malformed, or when llama.cpp cannot cut
 * text as this tokenizer does.
 *
 * @param files the tokenizer's files by name. @param where for messages: the model's name.
 */
export function tokenizerMetadata(
  files: ReadonlyMap<string, string>,
  config: DecoderConfig,
  where: string,
): WrittenTokenizer {
  const source = files.get('tokenizer.json');
  if (source === undefined) {
    throw new CheckpointError('there is no `tokenizer.json`', { where, fix: 'use a model with its tokenizer' });
  }
  const place = `${where}/tokenizer.json`;
  const json = parseTokenizerJson(parseJson(source, place), place);
  const spaced = isSentencePiece(json);
  const { tokens, types } = vocabulary(json, config.vocabSize, place);
  const settings = tokenizerConfig(files, where);
  const unknownToken = json.model.unk_token ?? (spaced ? contentOf(settings.json['unk_token']) : null);
  const unknown = unknownToken !== null && tokens.includes(unknownToken) ? tokens.indexOf(unknownToken) : null;
  const first = firstToken(json);
  const bos = first ?? config.bosTokenId;
  const entries: MetadataEntry[] = [
    ...(spaced ? sentencePieceEntries(json, tokens, types, unknown, place) : byteLevelEntries(json, tokens, types, place)),
    ['tokenizer.ggml.add_bos_token', 'bool', first !== null],
  ];
  const id = (role: string, value: number | null | undefined): void => {
    if (value !== null && value !== undefined) entries.push([`tokenizer.ggml.${role}_token_id`, 'u32', value]);
  };
  id('bos', bos);
  const [eos, ...others] = config.eosTokenIds;
  const eot = config.eosTokenIds.find((end) => turnEndTexts.includes(tokens[end]!)) ?? others[0];
  id('eos', eos);
  id('eot', eot);
  // llama.cpp knows the usual ends by their texts.
  const unusual = others.find((end) => end !== eot && !endTexts.includes(tokens[end]!));
  id('eom', unusual);
  id('padding', config.padTokenId);
  id('unknown', unknown);
  const template = templateIn(settings.json['chat_template'], settings.place) ?? files.get('chat_template.jinja') ?? null;
  if (template !== null) entries.push(['tokenizer.chat_template', 'text', template]);
  return { entries, modelName: spaced ? nameForWhiteSpace(where, json.added_tokens, place) : where };
}

function byteLevelEntries(
  { normalizer, pre_tokenizer: preTokenizer, decoder, model }: TokenizerJson,
  tokens: readonly string[],
  types: Int32Array,
  where: string,
): MetadataEntry[] {
  // llama.cpp changes no characters before cutting; composing them (NFC) it leaves out for every model.
  const composes = normalizer === null || normalizer.type === 'NFC';
  const isByteLevel = JSON.stringify([preTokenizer, decoder]).includes('"ByteLevel"');
  if (!composes || !isByteLevel) {
    throw new CheckpointError(
      'only byte-level BPE without a normalizer other than NFC and BPE with byte fallback can be written to GGUF',
      { where, fix: 'run this model from the artefact' },
    );
  }
  const merges = model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  return [
    ['tokenizer.ggml.model', 'text', 'gpt2'],
    ['tokenizer.ggml.pre', 'text', preTokenizerName(preTokenizer, model.ignore_merges ?? false, where)],
    ['tokenizer.ggml.tokens', 'texts', tokens],
    ['tokenizer.ggml.token_type', 'i32s', types],
    ['tokenizer.ggml.merges', 'texts', merges],
  ];
}

function vocabulary(
  { model, added_tokens: added }: TokenizerJson,
  size: number,
  where: string,
): { tokens: string[]; types: Int32Array } {
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Int32Array(size).fill(tokenType.unused);
  const put = (id: number, text: string, type: number): void => {
    if (id >= size) {
      throw new CheckpointError(`the token ${JSON.stringify(text.slice(0, 60))} has the id ${id} of ${size}`, {
        where,
        fix: 'use files of one revision',
      });
    }
    tokens[id] = text;
    types[id] = type;
  };
  for (const [text, id] of Object.entries(model.vocab)) put(id, text, tokenType.normal);
  for (const { id, content, special } of added) {
    put(id, content, special === true ? tokenType.control : tokenType.userDefined);
  }
  return { tokens, types };
}

/** The token that the tokenizer puts in front of every text. */
function firstToken({ post_processor: processor, added_tokens: added }: TokenizerJson): number | null {
  const stages = processor?.type === 'Sequence' ? (processor['processors'] as unknown[]) : [processor];
  for (const stage of stages) {
    const { type, single } = (stage ?? {}) as { type?: string; single?: { SpecialToken?: { id?: string } }[] };
    if (type !== 'TemplateProcessing') continue;
    const content = single?.[0]?.SpecialToken?.id;
    const token = added.find((candidate) => candidate.content === content);
    if (token !== undefined) return token.id;
  }
  return null;
}

function tokenizerConfig(
  files: ReadonlyMap<string, string>,
  where: string,
): { readonly json: Readonly<Record<string, unknown>>; readonly place: string } {
  const text = files.get('tokenizer_config.json');
  const place = `${where}/tokenizer_config.json`;
  return { json: ((text === undefined ? null : parseJson(text, place)) ?? {}) as Record<string, unknown>, place };
}

/** A token in `tokenizer_config.json`: its text, or an object with it. */
function contentOf(token: unknown): string | null {
  const text = (token as { content?: unknown } | null | undefined)?.content ?? token;
  return typeof text === 'string' ? text : null;
}
