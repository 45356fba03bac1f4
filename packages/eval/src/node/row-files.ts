import { readRows } from '@edgedesk/models/node';
import type { Row } from '@edgedesk/models';
import type { RowFile } from '@edgedesk/eval';

/** Data files read into memory, in order; the path as given is the name in the report. */
export async function readRowFiles(paths: readonly string[], signal?: AbortSignal): Promise<RowFile[]> {
  const files: RowFile[] = [];
  for (const path of paths) {
    const rows: Row[] = [];
    for await (const row of readRows(path)) {
      signal?.throwIfAborted();
      rows.push(row);
    }
    files.push({ file: path, rows });
  }
  return files;
}
