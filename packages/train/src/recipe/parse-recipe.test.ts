import { describe, expect, it } from 'vitest';
import { EdgeDeskError } from '@edgedesk/tensor';
import { parseRecipe } from './parse-recipe.js';

const valid = `
name: small
model:
  hiddenSize: 32
  intermediateSize: 48
  layerCount: 2
  headCount: 4
  kvHeadCount: 2
  contextLength: 64
tokenizer:
  train: { vocabSize: 300 }
sequence: 64
batch: 2
budget: { steps: 10 }
optimizer: { lr: 1e-3 }
data:
  - name: all
    sources:
      - { files: [a.jsonl], weight: 1 }
`;

function sentenceOf(text: string): string {
  try {
    parseRecipe(text, 'r.yaml');
  } catch (error) {
    if (EdgeDeskError.isInstance(error)) return error.sentence;
    throw error;
  }
  return 'no error';
}

describe('parseRecipe', () => {
  it('fills in defaults', () => {
    const recipe = parseRecipe(valid, 'r.yaml');
    expect(recipe.model).toMatchObject({ modelType: 'llama', ropeTheta: 10_000, tiedEmbedding: true });
    expect(recipe.optimizer).toMatchObject({ lr: 1e-3, beta2: 0.95, clip: 1 });
    expect(recipe.schedule.kind).toBe('wsd');
    expect(recipe.data[0]!.sources[0]!.grounded).toEqual({
      distractors: 0,
      unanswerable: 0,
      variants: 1,
      questions: 1,
    });
  });

  it.each([
    [
      'an unknown key',
      valid.replace('batch: 2', 'batches: 2'),
      'r.yaml:13: `batches` is not a key of a recipe; remove it or mend its spelling.',
    ],
    [
      'a wrong type',
      valid.replace('layerCount: 2', 'layerCount: two'),
      'r.yaml:6: `model.layerCount` must be a number; fill it in.',
    ],
    [
      'a number out of range',
      valid.replace('lr: 1e-3', 'lr: -1'),
      'r.yaml:15: `optimizer.lr` must be above 0; change it.',
    ],
    [
      'a misspelt choice',
      `${valid}schedule: { kind: cosin }\n`,
      'r.yaml:20: `schedule.kind` must be one of constant, cosine, wsd; change it.',
    ],
    [
      'a misspelt inner key',
      valid.replace('weight: 1', 'wieght: 1'),
      'r.yaml:19: `data[0].sources[0].wieght` is not a key of a recipe; remove it or mend its spelling.',
    ],
    [
      'heads that do not divide',
      valid.replace('kvHeadCount: 2', 'kvHeadCount: 3'),
      'r.yaml:8: `model.kvHeadCount` does not divide headCount 4; choose a divisor.',
    ],
    [
      'no end',
      valid.replace('budget: { steps: 10 }\n', ''),
      'r.yaml:18: `data[0].sources[0]` has a weight, but nothing says when to stop; add `budget`, or give every source `epochs`.',
    ],
    [
      'a base and a model',
      `${valid}base: ../m\n`,
      'r.yaml:2: the recipe needs either `model` or `base`; describe a new model, or name the folder or GGUF file of one to go on from.',
    ],
    [
      'broken YAML',
      valid.replace('name: small', 'name: [small'),
      /^r\.yaml:\d+: not YAML: .*; mend the syntax\.$/,
    ],
    ['no mapping', 'hello', 'r.yaml:1: the recipe must be a group of keys; fill it in.'],
  ])('names key and line of %s', (_, text, sentence: string | RegExp) => {
    if (typeof sentence === 'string') expect(sentenceOf(text)).toBe(sentence);
    else expect(sentenceOf(text)).toMatch(sentence);
  });

  it('survives hostile aliases', () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]'];
    for (let i = 0; i < 9; i++) bomb.push(`k${i}: &k${i} [${Array(9).fill(i === 0 ? '*a' : `*k${i - 1}`)}]`);
    expect(sentenceOf(bomb.join('\n'))).toMatch(/too many aliases|is not a key/);
  });
});
