import { CheckpointError, type FileStore } from '@edgedesk/tensor';

/** No file of a checkpoint nests deeper than a dozen levels; more would overflow the stack of whoever walks it. */
const maxJsonDepth = 64;

export interface ParseJsonOptions {
  /** Refuse an object that has a key twice, of which JSON.parse keeps the last. @default false */
  readonly uniqueKeys?: boolean;
}

/** Parses `text` after bounding its nesting; CheckpointError when it is no JSON. */
export function parseJson(text: string, where: string, options: ParseJsonOptions = {}): unknown {
  const written = countKeys(text, where);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.replace(/\s+/g, ' ').slice(0, 160) : String(cause);
    throw new CheckpointError(`the file is not JSON (${reason})`, {
      where,
      fix: 'download or copy it again',
      cause,
    });
  }
  if (options.uniqueKeys === true && written !== keptKeys(value)) {
    throw new CheckpointError('the JSON has a key twice', { where, fix: 'download or copy it again' });
  }
  return value;
}

/** Keys of all objects in the text; CheckpointError when it nests too deeply. */
function countKeys(text: string, where: string): number {
  let depth = 0;
  let keys = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === 0x5c) i++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) {
      if (++depth > maxJsonDepth) {
        throw new CheckpointError(`the JSON is nested more than ${maxJsonDepth} levels deep`, { where });
      }
    } else if (code === 0x7d || code === 0x5d) depth--;
    else if (code === 0x3a) keys++;
  }
  return keys;
}

function keptKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const children = Object.values(value);
  const own = Array.isArray(value) ? 0 : children.length;
  return children.reduce<number>((sum, child) => sum + keptKeys(child), own);
}

/** The parsed content of a JSON file; CheckpointError when it is missing, larger than `maxBytes` or malformed. */
export async function readJson(store: FileStore, path: string, maxBytes: number): Promise<unknown> {
  return parseJson(await store.readText(path, maxBytes), `${store.name}/${path}`);
}
