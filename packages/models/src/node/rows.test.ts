import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { EdgeDeskError } from '@edgedesk/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readLines } from '../dialogue/lines.js';
import { rowLimits } from '../dialogue/limits.js';
import type { Row } from '../dialogue/row.js';
import { readRows } from './rows.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'edgedesk-rows-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function rowsOf(name: string, bytes: string | Uint8Array): Promise<Row[]> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  const rows: Row[] = [];
  for await (const row of readRows(path)) rows.push(row);
  return rows;
}

async function sentenceOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!EdgeDeskError.isInstance(error)) throw new Error('no EdgeDeskError', { cause: error });
  return error.sentence;
}

const lines = '\uFEFF{"text":"one"}\r\n\r\n  \n{"text":"二","intent":"b"}';

describe('readRows', () => {
  it('reads plain and compressed files alike, whatever their name', async () => {
    const plain = await rowsOf('a.jsonl', lines);
    expect(plain.map(({ kind }) => kind)).toEqual(['text', 'intent']);
    expect(await rowsOf('b.jsonl.gz', gzipSync(lines))).toEqual(plain);
    expect(await rowsOf('c.jsonl', gzipSync(lines))).toEqual(plain);
    expect(await rowsOf('empty.jsonl', '')).toEqual([]);
  });

  it('names file and line of what is wrong', async () => {
    expect(await sentenceOf(rowsOf('d.jsonl', '{"text":"a"}\n\n{"text":'))).toMatch(/d\.jsonl:3: the line is not JSON/);
    expect(await sentenceOf(rowsOf('e.jsonl', Uint8Array.of(0x7b, 0xff, 0xfe)))).toMatch(/e\.jsonl:1: .*UTF-8/);
    const many = Array.from({ length: 500 }, (_, i) => `{"text":"row ${i}"}\n`).join('');
    const cut = gzipSync(many).subarray(0, 400);
    expect(await sentenceOf(rowsOf('f.jsonl.gz', cut))).toMatch(/f\.jsonl\.gz: the gzip data is damaged/);
    expect(await sentenceOf(readRows(join(folder, 'none.jsonl')).next())).toMatch(/none\.jsonl: there is no such file/);
    expect(await sentenceOf(readRows(folder).next())).toMatch(/: this is a folder, not a file of rows; name the files in it\.$/);
  });

  it('refuses an endless line without holding more of it than the bound', async () => {
    let sent = 0;
    async function* endless() {
      for (;;) {
        sent += 1 << 20;
        yield new Uint8Array(1 << 20).fill(0x61);
      }
    }
    expect(await sentenceOf(readLines(endless(), 'bomb').next())).toMatch(/bomb:1: the line is longer than/);
    expect(sent).toBeLessThanOrEqual(rowLimits.lineCharacters + (2 << 20));
  });

  it('splits characters that straddle chunks', async () => {
    const bytes = new TextEncoder().encode('退货\n换货');
    async function* oneByOne() {
      for (const byte of bytes) yield Uint8Array.of(byte);
    }
    const texts: string[] = [];
    for await (const line of readLines(oneByOne(), 'x')) texts.push(line.text);
    expect(texts).toEqual(['退货', '换货']);
  });
});

const shared = join(process.cwd(), '../shared/data');
describe.skipIf(!existsSync(shared))('public data (skipped where ../shared/data is absent)', () => {
  it('reads every small file of the collection', async () => {
    for (const kind of ['intent', 'chat', 'grounded']) {
      const files = readdirSync(join(shared, kind)).filter((file) => file.includes('dev'));
      for (const file of files) {
        let rows = 0;
        for await (const row of readRows(join(shared, kind, file))) {
          expect(row.kind).toBe(kind);
          rows++;
        }
        expect(rows).toBeGreaterThan(0);
      }
    }
  });
});
