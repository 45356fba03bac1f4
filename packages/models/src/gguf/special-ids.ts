import { CheckpointError } from '@edgedesk/tensor';
import type { Metadata } from './metadata.js';

/** Tokens of a role. */
export interface SpecialIds {
  readonly bos: number | null;
  readonly pad: number | null;
  readonly unknown: number | null;
  /** All that end a reply; the first is the file's own choice. */
  readonly ends: readonly number[];
  /** The model expects every text to begin with `bos`. */
  readonly addBos: boolean;
}

/** What ends a turn in one model or another. */
export const turnEndTexts: readonly string[] = ['<|im_end|>', '<|eot_id|>', '<|end|>', '<end_of_turn>'];

/** What ends a turn or a text in one model or another: the file names one, chats need all that it has. */
export const endTexts: readonly string[] = [
  ...turnEndTexts,
  '<|eom_id|>',
  '<|endoftext|>',
  '<|end_of_text|>',
  '<EOT>',
];

/** Reads the roles; ids outside the vocabulary mean that there is none, as in llama.cpp. */
export function specialIds(metadata: Metadata, tokens: readonly string[], addBosByDefault: boolean): SpecialIds {
  const idOf = (role: string): number | null => {
    const id = metadata.count(`tokenizer.ggml.${role}_token_id`) ?? null;
    return id === null || id >= tokens.length ? null : id;
  };
  const bos = idOf('bos');
  const addBos = metadata.flag('tokenizer.ggml.add_bos_token') ?? addBosByDefault;
  if (addBos && bos === null) {
    throw new CheckpointError('`tokenizer.ggml.add_bos_token` is set but no token is named for it', {
      where: metadata.where,
      fix: 'convert the model again',
    });
  }
  const byText = new Set(endTexts);
  const found = tokens.flatMap((token, id) => (byText.has(token) ? [id] : []));
  const ends = [idOf('eos'), idOf('eot'), idOf('eom'), ...found].filter((id) => id !== null);
  return { bos, pad: idOf('padding'), unknown: idOf('unknown'), ends: [...new Set(ends)], addBos };
}
