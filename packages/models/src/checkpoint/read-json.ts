import { CheckpointError, type FileStore } from '@edgedesk/tensor';

/** No file of a checkpoint nests deeper than a dozen levels; more would overflow the stack of whoever walks it. */
const maxJsonDepth = 64;

/** Parses `text` after bounding its nesting; CheckpointError when it is no JSON. */
export function parseJson(text: string, where: string): unknown {
  let depth = 0;
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
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.replace(/\s+/g, ' ').slice(0, 160) : String(cause);
    throw new CheckpointError(`the file is not JSON (${reason})`, {
      where,
      fix: 'download or copy it again',
      cause,
    });
  }
}

/** The parsed content of a JSON file; CheckpointError when it is missing, larger than `maxBytes` or malformed. */
export async function readJson(store: FileStore, path: string, maxBytes: number): Promise<unknown> {
  return parseJson(await store.readText(path, maxBytes), `${store.name}/${path}`);
}
