import { describe, expect, it } from 'vitest';
import type { StageJson } from '../tokenizer/tokenizer-json.js';
import { splitPattern } from '../tokenizer/split-pattern.js';
import { preTokenization, preTokenizerName } from './pre-tokenizers.js';

const split = (pattern: string): StageJson => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
    { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
  ],
});

describe('preTokenizerName', () => {
  it.each(['gpt-2', 'smollm', 'llama-bpe', 'dbrx', 'qwen2', 'tekken', 'default'])('finds %s again', (name) => {
    const { preTokenizer, ignoreMerges } = preTokenization(name, 'x');
    expect(preTokenizerName(preTokenizer, ignoreMerges, 'x')).toBe(name);
  });

  // As in the tokenizer.json of the models themselves.
  it.each<[string, string, StageJson, boolean]>([
    ['EdgeDesk', 'qwen2', split(splitPattern), false],
    [
      'Qwen2',
      'qwen2',
      split(
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      ),
      false,
    ],
    [
      'Llama 3',
      'llama-bpe',
      split(
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      ),
      true,
    ],
    [
      'SmolLM2',
      'smollm',
      {
        type: 'Sequence',
        pretokenizers: [
          { type: 'Digits', individual_digits: true },
          { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
        ],
      },
      false,
    ],
    ['GPT-2', 'gpt-2', { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true }, false],
  ])('knows %s as %s', (_, name, stage, ignoreMerges) => {
    expect(preTokenizerName(stage, ignoreMerges, 'x')).toBe(name);
  });

  it.each<[string, StageJson | null]>([
    ['nothing', null],
    ['another pattern', split('\\S+')],
    ['a space in front', { type: 'ByteLevel', add_prefix_space: true }],
  ])('has no name for %s', (_, stage) => {
    expect(() => preTokenizerName(stage, false, 'x')).toThrow(/no name for how/);
  });
});
