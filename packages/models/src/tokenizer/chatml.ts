import type { TokenizerJson } from './tokenizer-json.js';

/** EdgeDesk's special tokens; their ids are 0, 1 and 2. */
export const chatMl = {
  /** Separates documents, pads. */
  endOfText: '<|endoftext|>',
  startOfTurn: '<|im_start|>',
  /** Ends a turn, and generation. */
  endOfTurn: '<|im_end|>',
} as const;

/** In the order of their ids, for the trainer. */
export const chatMlSpecialTokens: readonly string[] = [chatMl.endOfText, chatMl.startOfTurn, chatMl.endOfTurn];

/** The one chat format: `<|im_start|>ROLE\nCONTENT<|im_end|>\n` for every message. */
export const chatMlTemplate = [
  '{%- for message in messages -%}',
  `{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' -}}`,
  '{%- endfor -%}',
  `{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}`,
].join('\n');

/**
 * A ChatML model's tokenizer files by name, as the transformers libraries read them.
 *
 * @param contextLength longest input in tokens.
 */
export function chatMlTokenizerFiles(
  json: TokenizerJson,
  contextLength: number,
): ReadonlyMap<string, string> {
  const { endOfText, endOfTurn, startOfTurn } = chatMl;
  const named = { eos_token: endOfTurn, pad_token: endOfText };
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    added_tokens_decoder: Object.fromEntries(
      json.added_tokens.map(({ id, ...token }) => [id, token] as const),
    ),
    additional_special_tokens: [startOfTurn],
    bos_token: null,
    unk_token: null,
    ...named,
    clean_up_tokenization_spaces: false,
    model_max_length: contextLength,
    chat_template: chatMlTemplate,
  };
  const special = { ...named, additional_special_tokens: [startOfTurn] };
  return new Map([
    ['tokenizer.json', pretty(json)],
    ['tokenizer_config.json', pretty(config)],
    ['special_tokens_map.json', pretty(special)],
    ['chat_template.jinja', chatMlTemplate],
  ]);
}

function pretty(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
