import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { RowFile } from '@edgedesk/eval';
import { readRowFiles } from '@edgedesk/eval/node';
import { DataError } from '@edgedesk/tensor';
import type { Language } from '../terminal/language.js';

const languages = ['zh', 'en'];

/**
 * The test rows of all packs, one set for each language and kind of row: a few rows of a set say more than one row of
 * each of many files. Rows of the packs alternate, so that any limit sees all of them.
 */
export async function readDevSet(packs: string): Promise<RowFile[]> {
  const sets: RowFile[] = [];
  for (const language of languages) {
    const byKind = new Map<string, RowFile['rows'][]>();
    for (const domain of domainsOf(packs)) {
      const folder = join(packs, domain, language, 'test');
      for (const { rows } of await readRowFiles(dataFiles(folder))) {
        const kind = rows[0]?.kind;
        if (kind !== undefined) byKind.set(kind, [...(byKind.get(kind) ?? []), rows]);
      }
    }
    for (const [kind, lists] of byKind)
      sets.push({ file: `packs, ${language}, ${kind}`, rows: alternate(lists) });
  }
  if (sets.length > 0) return sets;
  throw new DataError('there are no test rows', { where: packs, fix: 'use a complete checkout' });
}

/** The packs' files of training rows, for calibration: what the model will be asked, but not what it is measured on. */
export function trainingRows(packs: string): string[] {
  return domainsOf(packs).flatMap((domain) =>
    languages.flatMap((language) => dataFiles(join(packs, domain, language, 'train'))),
  );
}

/** The business and the passages that the chat at the end of the tour answers from: those of a conversation of a pack. */
export async function readShop(packs: string, language: Language): Promise<string | undefined> {
  const file = join(packs, 'retail', language, 'test', 'conversations.jsonl');
  if (!existsSync(file)) return undefined;
  for (const { rows } of await readRowFiles([file])) {
    const [first] = rows;
    const opening = first?.kind === 'chat' ? first.messages[0] : undefined;
    if (opening?.role === 'system') return opening.content;
  }
  return undefined;
}

function domainsOf(packs: string): string[] {
  const entries = readdirSync(packs, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

function dataFiles(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter((name) => name.endsWith('.jsonl'));
    return names.sort().map((name) => join(folder, name));
  } catch {
    return []; // A pack need not have both languages.
  }
}

function alternate<T>(lists: readonly (readonly T[])[]): T[] {
  const longest = Math.max(...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, index) =>
    lists.flatMap((list) => list.slice(index, index + 1)),
  ).flat();
}
