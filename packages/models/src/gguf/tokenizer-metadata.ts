import { CheckpointError } from '@edgedesk/tensor';
import { parseJson } from '../checkpoint/read-json.js';
import type { DecoderConfig } from '../config.js';
import { templateIn } from '../tokenizer/load-tokenizer.js';
import { parseTokenizerJson, type TokenizerJson } from '../tokenizer/tokenizer-json.js';
import type { MetadataEntry } from './encode-metadata.js';
import { preTokenizerName } from './pre-tokenizers.js';
import { endTexts, turnEndTexts } from './special-ids.js';
import { tokenType } from './tokenizer-parts.js';

/**
 * A checkpoint's tokenizer as llama.cpp reads it: the inverse of `readTokenizer`. Rows of the embedding that no token has
 * get names as from llama.cpp's own converter. CheckpointError when a file is missing or malformed, or when llama.cpp cannot cut
 * text as this tokenizer does.
 *
 * @param files the tokenizer's files by name. @param where for messages: the model.
 */
export function tokenizerMetadata(
  files: ReadonlyMap<string, string>,
  config: DecoderConfig,
  where: string,
): MetadataEntry[] {
  const source = files.get('tokenizer.json');
  if (source === undefined) {
    throw new CheckpointError('there is no `tokenizer.json`', { where, fix: 'use a model with its tokenizer' });
  }
  const place = `${where}/tokenizer.json`;
  const json = parseTokenizerJson(parseJson(source, place), place);
  checkStages(json, place);
  const { tokens, types } = vocabulary(json, config.vocabSize, place);
  const first = firstToken(json);
  const bos = first ?? config.bosTokenId;
  const entries: MetadataEntry[] = [
    ['tokenizer.ggml.model', 'text', 'gpt2'],
    ['tokenizer.ggml.pre', 'text', preTokenizerName(json.pre_tokenizer, json.model.ignore_merges ?? false, place)],
    ['tokenizer.ggml.tokens', 'texts', tokens],
    ['tokenizer.ggml.token_type', 'i32s', types],
    [
      'tokenizer.ggml.merges',
      'texts',
      json.model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' '))),
    ],
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
  const unknown = json.model.unk_token;
  if (typeof unknown === 'string') id('unknown', tokens.indexOf(unknown));
  const template = chatTemplate(files, where);
  if (template !== null) entries.push(['tokenizer.chat_template', 'text', template]);
  return entries;
}

/** llama.cpp changes no characters before cutting; composing them (NFC) it leaves out for every model. */
function checkStages({ normalizer, pre_tokenizer: preTokenizer, decoder }: TokenizerJson, where: string): void {
  const composes = normalizer === null || normalizer.type === 'NFC';
  const isByteLevel = JSON.stringify([preTokenizer, decoder]).includes('"ByteLevel"');
  if (composes && isByteLevel) return;
  throw new CheckpointError('only byte-level BPE without a normalizer other than NFC can be written to GGUF', {
    where,
    fix: 'run this model from the artefact',
  });
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

function chatTemplate(files: ReadonlyMap<string, string>, where: string): string | null {
  const text = files.get('tokenizer_config.json');
  const place = `${where}/tokenizer_config.json`;
  const config = (text === undefined ? {} : parseJson(text, place)) as { chat_template?: unknown } | null;
  return templateIn(config?.chat_template, place) ?? files.get('chat_template.jinja') ?? null;
}
