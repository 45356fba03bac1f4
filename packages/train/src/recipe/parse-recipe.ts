import { RecipeError } from '@edgedesk/tensor';
import { LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';
import { recipeSchema, type Recipe } from './recipe-schema.js';

/** A recipe is a page; more is a mistaken file. */
const maxRecipeCharacters = 1_000_000;

/**
 * Reads a training recipe. `where` names the file in messages.
 *
 * @throws RecipeError naming the key and its line
 */
export function parseRecipe(text: string, where: string): Recipe {
  if (text.length > maxRecipeCharacters) {
    throw new RecipeError('the file is too long for a recipe', { where, fix: 'pass the YAML recipe itself' });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const broken = document.errors[0];
  if (broken !== undefined) {
    const { line } = lines.linePos(broken.pos[0]);
    const message = broken.message.split(/ at line |:?\n/, 1)[0]!;
    throw new RecipeError(`not YAML: ${lowerFirst(message)}`, {
      where: `${where}:${line}`,
      fix: 'mend the syntax',
    });
  }
  const fail = (path: readonly PropertyKey[], message: string, fix: string): never => {
    const key = path.length === 0 ? 'the recipe' : `\`${keyOf(path)}\``;
    throw new RecipeError(`${key} ${message}`, { where: `${where}:${lineOf(document, lines, path)}`, fix });
  };
  let json: unknown;
  try {
    json = document.toJS({ maxAliasCount: 100 });
  } catch {
    return fail([], 'uses too many aliases', 'write the values out');
  }
  const result = recipeSchema.safeParse(json);
  if (!result.success) {
    const issues = result.error.issues.map(deepest);
    // A misspelt key also leaves the right one missing: the misspelling is the news.
    const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]!;
    if (issue.code === 'unrecognized_keys') {
      return fail(
        [...issue.path, issue.keys[0]!],
        'is not a key of a recipe',
        'remove it or mend its spelling',
      );
    }
    return fail(issue.path, describe(issue), issue.code === 'invalid_type' ? 'fill it in' : 'change it');
  }
  checkWhole(result.data, fail);
  return result.data;
}

type Fail = (path: readonly PropertyKey[], message: string, fix: string) => never;

/** What spans several keys. */
function checkWhole(recipe: Recipe, fail: Fail): void {
  const { model, base, tokenizer, data, budget, lora } = recipe;
  if ((model === undefined) === (base === undefined)) {
    fail(
      [],
      'needs either `model` or `base`',
      'describe a new model, or name the folder or GGUF file of one to go on from',
    );
  }
  if (base !== undefined && tokenizer !== undefined) {
    fail(['tokenizer'], 'does not go with `base`', "leave it out: the base's own tokenizer is used");
  }
  if (model !== undefined && tokenizer === undefined) {
    fail(['model'], 'needs a `tokenizer`', 'add `tokenizer: {train: {vocabSize: 8192}}` or a folder');
  }
  if (model !== undefined && lora !== undefined) {
    fail(['lora'], 'adapts an existing model', 'name it as `base`');
  }
  if (recipe.quantize !== undefined && base === undefined) {
    fail(['quantize'], 'starts from an existing model', 'name it as `base`');
  }
  if (recipe.quantize !== undefined && lora !== undefined && !recipe.output.merge) {
    fail(
      ['output', 'merge'],
      'would leave adapters beside weights that were rounded with them',
      'merge them, or leave out `quantize`',
    );
  }
  if (model !== undefined) {
    const { headCount, hiddenSize, kvHeadCount = headCount, headDim } = model;
    if (headCount % kvHeadCount !== 0) {
      fail(['model', 'kvHeadCount'], `does not divide headCount ${headCount}`, 'choose a divisor');
    }
    if (headDim === undefined && hiddenSize % headCount !== 0) {
      fail(
        ['model', 'headCount'],
        `does not divide hiddenSize ${hiddenSize}`,
        'choose a divisor or set `headDim`',
      );
    }
    if ((headDim ?? hiddenSize / headCount) % 2 !== 0) {
      fail(
        ['model', 'headDim' in model ? 'headDim' : 'headCount'],
        'gives an odd head size',
        'rotary positions need an even one',
      );
    }
    if (recipe.sequence > model.contextLength) {
      fail(['sequence'], `is longer than the model's contextLength ${model.contextLength}`, 'shorten it');
    }
  }
  const shares = data.filter(({ share }) => share !== undefined).length;
  if (data.length > 1 && shares !== data.length) {
    const missing = data.findIndex(({ share }) => share === undefined);
    fail(['data', missing], 'needs a `share` of the budget', 'give one to every phase');
  }
  const limits = Object.values(budget ?? {}).filter((limit) => limit !== undefined);
  data.forEach(({ sources }, phase) => {
    const weighted = sources.findIndex(({ weight }) => weight !== undefined);
    const counted = sources.findIndex(({ epochs }) => epochs !== undefined);
    if (weighted >= 0 && counted >= 0) {
      fail(
        ['data', phase, 'sources', counted],
        'counts in epochs where another source has a weight',
        'use one of them in a phase',
      );
    }
    if (limits.length === 0 && weighted >= 0) {
      fail(
        ['data', phase, 'sources', weighted],
        'has a weight, but nothing says when to stop',
        'add `budget`, or give every source `epochs`',
      );
    }
  });
}

type Issue = z.core.$ZodIssue;

/** Of a union's branches, the complaint that goes deepest into the value is about what the writer meant. */
function deepest(issue: Issue): Issue {
  if (issue.code !== 'invalid_union') return issue;
  const nested = issue.errors
    .flat()
    .map((inner) => deepest({ ...inner, path: [...issue.path, ...inner.path] }));
  return nested.reduce((a, b) => (b.path.length > a.path.length ? b : a), nested[0] ?? issue);
}

function describe(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined && issue.message.includes('undefined')
        ? 'is missing'
        : `must be ${article(issue.expected)}`;
    case 'invalid_value':
      return `must be one of ${issue.values.join(', ')}`;
    case 'too_small':
      return issue.origin === 'number' || issue.origin === 'int'
        ? `must be ${issue.inclusive === false ? 'above' : 'at least'} ${issue.minimum}`
        : 'must not be empty';
    case 'too_big':
      return `must be ${issue.inclusive === false ? 'below' : 'at most'} ${issue.maximum}`;
    default:
      return lowerFirst(issue.message);
  }
}

function article(type: string): string {
  const words: Record<string, string> = {
    int: 'a whole number',
    number: 'a number',
    string: 'a text',
    array: 'a list',
    object: 'a group of keys',
    boolean: 'true or false',
  };
  return words[type] ?? `a ${type}`;
}

function keyOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (key, part) =>
      typeof part === 'number' ? `${key}[${part}]` : key === '' ? String(part) : `${key}.${String(part)}`,
    '',
  );
}

/** Line of the value at `path`, or of the nearest group around it that exists. */
function lineOf(document: Document, lines: LineCounter, path: readonly PropertyKey[]): number {
  for (let depth = path.length; depth >= 0; depth--) {
    const node: unknown = depth === 0 ? document.contents : document.getIn(path.slice(0, depth), true);
    const range = (node as { range?: readonly number[] } | null | undefined)?.range;
    if (range !== undefined) return lines.linePos(range[0]!).line;
  }
  return 1;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
