import type { NamedTokens } from '../tokenizer/chat-template.js';
import type { StageJson, TokenizerJson } from '../tokenizer/tokenizer-json.js';
import type { SpecialIds } from './special-ids.js';

/** A tokenizer rebuilt from metadata. */
export interface GgufTokenizer {
  readonly json: TokenizerJson;
  readonly chatTemplate: string | null;
  readonly namedTokens: NamedTokens;
  readonly ids: SpecialIds;
}

/** llama.cpp's token types. */
export const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;
/** What the converter writes for rows of the embedding that no token has. */
export const padding = /^\[PAD\d+\]$/;

/** What every kind of vocabulary has; `fail` throws a CheckpointError. */
export interface Vocabulary {
  readonly tokens: readonly string[];
  readonly types: Int32Array | Uint32Array | undefined;
  readonly fail: (message: string, fix?: string) => never;
}

/** Puts the token that begins every text in front, where the transformers libraries do. */
export function beginWith(token: string, id: number): StageJson {
  const begin = { SpecialToken: { id: token, type_id: 0 } };
  const text = (name: string, typeId: number) => ({ Sequence: { id: name, type_id: typeId } });
  return {
    type: 'TemplateProcessing',
    single: [begin, text('A', 0)],
    pair: [begin, text('A', 0), { SpecialToken: { id: token, type_id: 1 } }, text('B', 1)],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

/** Tokens of a role by their names in `tokenizer_config.json`. */
export function named(tokens: readonly string[], ids: SpecialIds): NamedTokens {
  const result: Partial<Record<keyof NamedTokens, string>> = {};
  const name = (role: keyof NamedTokens, id: number | null | undefined): void => {
    if (id !== null && id !== undefined) result[role] = tokens[id]!;
  };
  name('bos_token', ids.bos);
  name('eos_token', ids.ends[0]);
  name('pad_token', ids.pad);
  name('unk_token', ids.unknown);
  return result;
}
