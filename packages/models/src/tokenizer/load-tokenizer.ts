import { CheckpointError, type FileStore } from '@edgedesk/tensor';
import { maxTemplateLength, type NamedTokens } from './chat-template.js';
import { createTokenizer } from './create-tokenizer.js';
import type { Tokenizer } from './tokenizer.js';
import { tokenizerLimits } from './tokenizer-json.js';
import { readJson } from '../checkpoint/read-json.js';

/** `tokenizer_config.json` also lists every added token; the largest public ones have about 200 kB. */
const maxConfigBytes = 4 * 2 ** 20;

type Json = Readonly<Record<string, unknown>>;

/**
 * The tokenizer of a checkpoint: `tokenizer.json`, with the chat template from `tokenizer_config.json` or
 * `chat_template.jinja`. CheckpointError when a file is missing, too large or malformed.
 */
export async function loadTokenizer(store: FileStore): Promise<Tokenizer> {
  const json = await readJson(store, 'tokenizer.json', tokenizerLimits.maxFileBytes);
  const hasConfig = await store.has('tokenizer_config.json');
  const config: Json = hasConfig
    ? objectOf(
        await readJson(store, 'tokenizer_config.json', maxConfigBytes),
        `${store.name}/tokenizer_config.json`,
      )
    : {};
  const file = 'chat_template.jinja';
  const inConfig = templateIn(config['chat_template'], `${store.name}/tokenizer_config.json`);
  const chatTemplate =
    inConfig ?? ((await store.has(file)) ? await store.readText(file, 4 * maxTemplateLength) : null);
  return createTokenizer({
    json,
    chatTemplate,
    namedTokens: namedTokens(config),
    where: `${store.name}/tokenizer.json`,
    templateWhere: `${store.name}/${inConfig === null ? file : 'tokenizer_config.json'}`,
  });
}

function objectOf(value: unknown, where: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw new CheckpointError('the file holds no JSON object', { where });
}

/** One template, or a list of named ones of which `default` is meant. */
export function templateIn(value: unknown, where: string): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) {
    const named = value as readonly (Json | null)[];
    const chosen = named.find((entry) => entry?.['name'] === 'default');
    if (typeof chosen?.['template'] === 'string') return chosen['template'];
  }
  throw new CheckpointError('`chat_template` is neither a text nor a list with a `default` template', {
    where,
    fix: 'write one Jinja template there',
  });
}

function namedTokens(config: Json): NamedTokens {
  const tokens: Record<string, string> = {};
  for (const name of ['bos_token', 'eos_token', 'pad_token', 'unk_token']) {
    const value = config[name];
    const content =
      typeof value === 'object' && value !== null ? (value as { content?: unknown }).content : value;
    if (typeof content === 'string') tokens[name] = content;
  }
  return tokens;
}
