import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import {
  chatMlSpecialTokens,
  chatMlTokenizerFiles,
  loadTokenizer,
  rowToConversation,
  trainByteLevelBpe,
  type Row,
  type Tokenizer,
} from '@edgedesk/models';
import { openCheckpoint, readRows } from '@edgedesk/models/node';
import { RecipeError } from '@edgedesk/tensor';
import { openFolder } from '@edgedesk/tensor/node';
import { writeFileAtomic } from '@edgedesk/tensor/node';
import type { TextCodec } from '../data/codec.js';
import type { Recipe } from '../recipe/recipe-schema.js';
import type { OnTrainEvent } from '../trainer/events.js';

const reportEveryTexts = 500;

/** A tokenizer, and the folder its files lie in. */
export interface RunTokenizer {
  readonly tokenizer: Tokenizer;
  readonly codec: TextCodec;
  readonly folder: string;
}

/** The tokenizer a recipe asks for: its base's, one in a folder, or one trained on its data and kept in the run. */
export async function recipeTokenizer(
  recipe: Recipe,
  recipePath: string,
  runFolder: string,
  onEvent: OnTrainEvent,
): Promise<RunTokenizer> {
  const named =
    recipe.base ?? (recipe.tokenizer && 'folder' in recipe.tokenizer ? recipe.tokenizer.folder : null);
  const folder = join(runFolder, 'tokenizer');
  if (named !== null) {
    const path = resolve(dirname(recipePath), named);
    if (!(await stat(path).catch(() => null))?.isFile()) return open(path);
    await copyTokenizer(path, folder);
    return open(folder);
  }
  const made = await readFile(join(folder, 'tokenizer.json')).catch(() => null);
  if (made === null) await trainTokenizer(recipe, recipePath, folder, onEvent);
  return open(folder);
}

/** Writes the tokenizer inside a model of one file, a GGUF file, as files of its own. */
async function copyTokenizer(model: string, folder: string): Promise<void> {
  const { weights, tokenizerFiles } = await openCheckpoint(model);
  await weights.close();
  await writeTokenizer(tokenizerFiles, folder);
}

/** tokenizer.json last: its presence says that the folder is whole. */
async function writeTokenizer(files: ReadonlyMap<string, string>, folder: string): Promise<void> {
  const isLast = (name: string): number => Number(name === 'tokenizer.json');
  for (const [name, text] of [...files].sort(([a], [b]) => isLast(a) - isLast(b))) {
    await writeFileAtomic(join(folder, name), text);
  }
}

async function open(folder: string): Promise<RunTokenizer> {
  const tokenizer = await loadTokenizer(openFolder(folder));
  const hash = createHash('sha256');
  for (const file of ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja']) {
    hash.update(await readFile(join(folder, file)).catch(() => 'absent'));
  }
  // The token that plain documents end with, by the names that model families give it.
  const separatorId = ['<|endoftext|>', '</s>', '<|end_of_text|>', '<eos>', '<|im_end|>']
    .map((token) => tokenizer.idOf(token))
    .find((id) => id !== null);
  if (separatorId === undefined || separatorId === null) {
    throw new RecipeError('the tokenizer has no token that ends a document', {
      where: join(folder, 'tokenizer.json'),
      fix: 'add `<|endoftext|>` as a special token',
    });
  }
  return { tokenizer, folder, codec: { tokenizer, fingerprint: hash.digest('hex'), separatorId } };
}

async function trainTokenizer(
  recipe: Recipe,
  recipePath: string,
  folder: string,
  onEvent: OnTrainEvent,
): Promise<void> {
  const asked = recipe.tokenizer;
  if (asked === undefined || !('train' in asked)) throw new Error('the recipe trains no tokenizer');
  const { vocabSize, characters } = asked.train;
  const json = await trainByteLevelBpe(
    mixedTexts(recipe, recipePath, characters),
    { vocabSize, specialTokens: chatMlSpecialTokens },
    (progress) => {
      if (progress.phase === 'merge') {
        onEvent({
          type: 'prepare',
          what: 'training the tokenizer',
          done: progress.done,
          total: progress.total,
        });
      } else if (progress.texts % reportEveryTexts === 0) {
        onEvent({
          type: 'prepare',
          what: 'reading for the tokenizer',
          done: progress.characters,
          total: characters,
        });
      }
    },
  );
  await writeTokenizer(chatMlTokenizerFiles(json, recipe.model!.contextLength), folder);
}

/** Texts of all training files, each file in proportion to its share of the run, no row twice. */
async function* mixedTexts(recipe: Recipe, recipePath: string, characters: number): AsyncGenerator<string> {
  const shares = new Map<string, number>();
  for (const phase of recipe.data) {
    const total = phase.sources.reduce((sum, { weight, epochs }) => sum + (weight ?? epochs)!, 0);
    for (const source of phase.sources) {
      for (const file of source.files) {
        const share = ((phase.share ?? 1) * (source.weight ?? source.epochs)!) / total / source.files.length;
        shares.set(file, (shares.get(file) ?? 0) + share);
      }
    }
  }
  const sum = [...shares.values()].reduce((a, b) => a + b, 0);
  for (const [file, share] of shares) {
    let left = (characters * share) / sum;
    for await (const row of readRows(resolve(dirname(recipePath), file))) {
      if (left <= 0) break;
      const text = textOf(row);
      left -= text.length;
      yield text;
    }
  }
}

function textOf(row: Row): string {
  if (row.kind === 'retrieval') return row.text;
  const conversation = rowToConversation(row);
  if (conversation.kind === 'text') return conversation.text;
  return conversation.messages.map(({ content }) => content).join('\n');
}
