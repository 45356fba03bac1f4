import { CheckpointError } from '@edgedesk/tensor';
import type { StageJson } from '../tokenizer/tokenizer-json.js';

/** How a family of models cuts text before merging. */
export interface PreTokenization {
  readonly preTokenizer: StageJson;
  readonly normalizer: StageJson | null;
  /** A piece that is a token as a whole stays whole. */
  readonly ignoreMerges: boolean;
  /** Unless the file says otherwise. */
  readonly addBos: boolean;
}

const byteLevel = (useRegex: boolean): StageJson => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
});

const split = (pattern: string): StageJson => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Isolated',
  invert: false,
});

const sequence = (...pretokenizers: StageJson[]): StageJson => ({ type: 'Sequence', pretokenizers });

/** Contractions in any case, written without the flag that not every engine has inside a pattern. */
const contractions = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const symbolsAndSpace = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
/** As GPT-4's, with up to `digits` digits in a piece. */
const gpt4 = (digits: string): string => `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}|${symbolsAndSpace}`;
const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
/** Words change where a lower-case letter meets an upper-case one; llama.cpp sees that in ASCII only. */
const tekken = [
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+`,
  `[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*`,
  '\\p{N}',
  ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*',
  '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
].join('|');

const plain = { normalizer: null, ignoreMerges: false, addBos: false };

const families: Readonly<Record<string, PreTokenization>> = {
  gpt2: { ...plain, preTokenizer: byteLevel(true) },
  /** GPT-2's pieces with every digit on its own. */
  digits: { ...plain, preTokenizer: sequence(split('\\p{N}'), byteLevel(true)) },
  llama3: {
    normalizer: null,
    preTokenizer: sequence(split(gpt4('\\p{N}{1,3}')), byteLevel(false)),
    ignoreMerges: true,
    addBos: true,
  },
  threeDigits: { ...plain, preTokenizer: sequence(split(gpt4('\\p{N}{1,3}')), byteLevel(false)) },
  /** The models' own tokenizers compose characters first; llama.cpp leaves that out. */
  qwen2: { ...plain, normalizer: { type: 'NFC' }, preTokenizer: sequence(split(gpt4('\\p{N}')), byteLevel(false)) },
  oneDigit: { ...plain, preTokenizer: sequence(split(gpt4('\\p{N}')), byteLevel(false)) },
  tekken: {
    normalizer: null,
    preTokenizer: sequence(split(tekken), byteLevel(false)),
    ignoreMerges: true,
    addBos: true,
  },
  /** GPT-4o's, which Phi-4-mini has: words as `tekken`'s, with contractions behind them and three digits in a piece. */
  gpt4o: {
    ...plain,
    preTokenizer: sequence(
      split(
        [
          `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${contractions}?`,
          `[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${contractions}?`,
          '\\p{N}{1,3}',
          ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*',
          '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
        ].join('|'),
      ),
      byteLevel(false),
    ),
  },
  /** Of files that say nothing: llama.cpp's guess, which the model may not have been trained with. */
  default: {
    ...plain,
    preTokenizer: sequence(
      split('[\\p{P}$+<=>^~|]+'),
      split(gpt2),
      split('\\p{N}+'),
      split('[0-9][0-9][0-9]'),
      byteLevel(false),
    ),
  },
};

/** Family by the names that llama.cpp's converter gives in `tokenizer.ggml.pre`. */
const familyOf: ReadonlyMap<string, string> = new Map(
  Object.entries({
    gpt2: ['gpt-2', 'phi-2', 'mpt', 'olmo', 'jais', 'gigachat', 'a.x-4.0', 'mellum', 'trillion', 'exaone4'],
    digits: ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b'],
    llama3: ['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'pixtral', 'midm-2.0'],
    threeDigits: ['dbrx', 'smaug-bpe', 'glm4', 'chatglm-bpe'],
    qwen2: ['qwen2'],
    oneDigit: ['stablelm2', 'deepseek-r1-qwen', 'megrez', 'hunyuan'],
    tekken: ['tekken'],
    gpt4o: ['gpt-4o'],
    default: ['default'],
  }).flatMap(([family, names]) => names.map((name) => [name, family] as const)),
);

/** How text is cut by `pre`, the value of `tokenizer.ggml.pre`; CheckpointError for a name we do not know. */
export function preTokenization(pre: string | undefined, where: string): PreTokenization {
  const family = familyOf.get(pre ?? 'default');
  if (family !== undefined) return families[family]!;
  throw new CheckpointError(`the pre-tokenizer \`${(pre ?? '').slice(0, 80)}\` is not supported`, {
    where,
    fix: 'use the Hugging Face checkpoint of this model',
  });
}

/** Ways in which tokenizers write the contractions: in any case, by a flag or in full, and plain as GPT-2's and ours. */
const contractionForms = [contractions, "(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'s|'t|'re|'ve|'m|'ll|'d"];

/** A stage as text, without what makes no difference here: keys at their defaults, and how contractions are written. */
function canonical(stage: StageJson): string {
  if (stage.type === 'Sequence') return (stage['pretokenizers'] as StageJson[]).map(canonical).join(' ');
  if (stage.type === 'ByteLevel') {
    if (stage['add_prefix_space'] === true) return 'ByteLevel with a space in front';
    return stage['use_regex'] === false ? 'ByteLevel' : `Isolated(${gpt2}) ByteLevel`;
  }
  if (stage.type === 'Digits' && stage['individual_digits'] === true) return 'Isolated(\\p{N})';
  if (stage.type !== 'Split' || stage['invert'] === true) return JSON.stringify(stage);
  const pattern = (stage['pattern'] as { Regex?: string }).Regex ?? JSON.stringify(stage['pattern']);
  if (pattern === gpt2) return `${String(stage['behavior'])}(${gpt2})`;
  const form = contractionForms.find((text) => pattern.startsWith(`${text}|`));
  const same = form === undefined ? pattern : `${contractions}${pattern.slice(form.length)}`;
  return `${String(stage['behavior'])}(${same})`;
}

/** Families by how they cut; of two that cut alike the one that merges alike. */
const nameOf: readonly (readonly [family: string, name: string])[] = [
  ['gpt2', 'gpt-2'],
  ['digits', 'smollm'],
  ['llama3', 'llama-bpe'],
  ['threeDigits', 'dbrx'],
  ['qwen2', 'qwen2'],
  ['tekken', 'tekken'],
  ['gpt4o', 'gpt-4o'],
  ['default', 'default'],
];

/**
 * The name for `tokenizer.ggml.pre` under which llama.cpp cuts text as `preTokenizer` does; CheckpointError when it has
 * none. Plain contractions, as in our own pattern, are taken for those in any case: texts differ where an apostrophe is
 * followed by such letters in capitals and more letters.
 */
export function preTokenizerName(preTokenizer: StageJson | null, ignoreMerges: boolean, where: string): string {
  const cut = preTokenizer === null ? '' : canonical(preTokenizer);
  const found = nameOf.find(([family]) => {
    const known = families[family]!;
    return known.ignoreMerges === ignoreMerges && canonical(known.preTokenizer) === cut;
  });
  if (found !== undefined) return found[1];
  throw new CheckpointError('llama.cpp has no name for how this tokenizer cuts text', {
    where,
    fix: 'run this model from the artefact, or use one with the tokenizer of GPT-2, SmolLM, Llama 3, Qwen2 or EdgeDesk',
  });
}
