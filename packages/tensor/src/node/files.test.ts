import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CheckpointError, EdgeDeskError } from '../errors.js';
import { openFile, openFolder } from './files.js';
import { writeFileAtomic, writeFolderAtomic } from './write-files.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'edgedesk-files-'));
});
afterAll(() => rm(root, { recursive: true }));

describe('openFolder', () => {
  it('lists, reads and bounds files', async () => {
    const folder = join(root, 'read');
    await mkdir(join(folder, 'onnx'), { recursive: true });
    await writeFile(join(folder, 'a.txt'), '退货');
    await writeFile(join(folder, 'onnx/b.bin'), Uint8Array.of(1, 2, 3, 4, 5));
    await symlink(join(folder, 'a.txt'), join(folder, 'link.txt'));
    await symlink(folder, join(folder, 'circle'));
    const store = openFolder(folder);
    expect(await store.list()).toEqual(['a.txt', 'link.txt', 'onnx/b.bin']);
    expect(await store.readText('link.txt', 100)).toBe('退货');
    await expect(store.readBytes('onnx/b.bin', 4)).rejects.toThrow(/has 5 bytes, more than the 4 allowed/);
    expect([await store.has('a.txt'), await store.has('nope'), await store.has('onnx')]).toEqual([
      true,
      false,
      false,
    ]);
    await expect(store.open('nope')).rejects.toThrow(/the file is missing/);
    await expect(store.open('onnx')).rejects.toThrow(/not a file/);
    await writeFile(join(folder, 'latin1'), Uint8Array.of(0xe9));
    await expect(store.readText('latin1', 9)).rejects.toThrow(/not UTF-8/);
  });

  it.each(['../x', '/etc/passwd', 'a/../../x', 'a//b', './a', 'a\\b', 'C:x', 'a\0b', ''])(
    'refuses a name that could leave the folder: %j',
    async (name) => {
      const store = openFolder(root);
      await expect(store.readText(name, 10)).rejects.toThrow(CheckpointError);
      await expect(store.has(name)).rejects.toThrow(CheckpointError);
    },
  );

  it('says that there is no folder', async () => {
    expect(() => openFolder(join(root, 'none'))).toThrow(/no such folder/);
    await writeFile(join(root, 'file'), '');
    expect(() => openFolder(join(root, 'file'))).toThrow(/not a folder/);
  });
});

describe('openFile', () => {
  it('reads ranges, refuses those outside, and notices a file that shrinks', async () => {
    const path = join(root, 'ranges');
    await writeFile(
      path,
      Uint8Array.from({ length: 100 }, (_, i) => i),
    );
    const source = await openFile(path);
    expect(source.sizeBytes).toBe(100);
    expect([...(await source.read(10, 3))]).toEqual([10, 11, 12]);
    expect((await source.read(100, 0)).length).toBe(0);
    for (const [offset, length] of [
      [99, 2],
      [-1, 1],
      [0, -1],
      [0.5, 1],
      [0, 2 ** 52],
      [NaN, 1],
    ] as const) {
      await expect(source.read(offset, length)).rejects.toThrow(CheckpointError);
    }
    await truncate(path, 50);
    await expect(source.read(40, 20)).rejects.toThrow(/past the end/);
    await source.close();
  });

  it('reads beyond 4 GB', async () => {
    const path = join(root, 'sparse');
    const file = await open(path, 'w');
    await file.write(Uint8Array.of(42), 0, 1, 5e9);
    await file.close();
    const source = await openFile(path);
    expect([...(await source.read(5e9 - 1, 2))]).toEqual([0, 42]);
    await source.close();
    await rm(path);
  });
});

describe('writeFileAtomic', () => {
  it('makes folders, replaces, and leaves nothing else', async () => {
    const path = join(root, 'deep/er/x.txt');
    await writeFileAtomic(path, 'old');
    await writeFileAtomic(path, '新');
    expect(readFileSync(path, 'utf8')).toBe('新');
    expect(readdirSync(join(root, 'deep/er'))).toEqual(['x.txt']);
    await mkdir(join(root, 'deep/folder/full'), { recursive: true });
    await expect(writeFileAtomic(join(root, 'deep/folder'), 'x')).rejects.toThrow(/a folder is in the way/);
    expect(readdirSync(join(root, 'deep'))).toEqual(['er', 'folder']);
    await expect(writeFileAtomic(join(path, 'below-a-file'), 'x')).rejects.toThrow(EdgeDeskError);
  });

  it.skipIf(process.platform !== 'linux')(
    'names the place that it was given, where nothing can be made',
    async () => {
      for (const place of ['/proc/none/x.json', '/proc/x.json']) {
        const error: unknown = await writeFileAtomic(place, 'x').catch((reason: unknown) => reason);
        expect(EdgeDeskError.isInstance(error) && error.sentence).toBe(
          `${place}: nothing was written, since no folder can be made there; make room or choose another place.`,
        );
      }
      const folder = writeFolderAtomic('/proc/none/model', () => Promise.resolve());
      await expect(folder).rejects.toMatchObject({ where: '/proc/none/model' });
    },
  );

  it('passes on what went wrong elsewhere', async () => {
    const missing = join(root, 'missing.txt');
    await expect(writeFolderAtomic(join(root, 'never'), () => readFile(missing))).rejects.toMatchObject({
      code: 'ENOENT',
      path: missing,
    });
  });
});

describe('writeFolderAtomic', () => {
  const marked = async (place: string, text: string): Promise<void> => {
    await writeFolderAtomic(place, async (folder) => {
      await folder.writeFile('edgedesk.json', text);
      await folder.writeFile('onnx/a', text);
    });
  };

  it('shows the folder only when it is whole', async () => {
    const place = join(root, 'out/model');
    const result = await writeFolderAtomic(place, async (folder) => {
      const file = await folder.create('onnx/data');
      await file.write(4, Uint8Array.of(9));
      await file.close();
      expect(existsSync(place)).toBe(false);
      expect([...(await folder.store.readBytes('onnx/data', 10))]).toEqual([0, 0, 0, 0, 9]);
      return 'done';
    });
    expect(result).toBe('done');
    expect(readdirSync(join(root, 'out'))).toEqual(['model']);
  });

  it('leaves nothing, and the old folder, when it fails', async () => {
    const place = join(root, 'fail/model');
    await marked(place, 'old');
    const failing = writeFolderAtomic(place, async (folder) => {
      await folder.writeFile('half', 'x');
      throw new Error('interrupted');
    });
    await expect(failing).rejects.toThrow('interrupted');
    expect(readdirSync(join(root, 'fail'))).toEqual(['model']);
    expect(readFileSync(join(place, 'onnx/a'), 'utf8')).toBe('old');
    await expect(writeFolderAtomic(place, (folder) => folder.writeFile('../escape', 'x'))).rejects.toThrow(
      /leaves/,
    );
  });

  it('removes what a killed process left a day ago, and nothing younger', async () => {
    const place = join(root, 'killed/model');
    const [old, young] = ['aaaaaaaaaaaa', 'bbbbbbbbbbbb'].map((id) =>
      join(root, `killed/.model.${id}.partial`),
    );
    await mkdir(join(old!, 'onnx'), { recursive: true });
    await mkdir(young!);
    const yesterday = new Date(Date.now() - 25 * 3600 * 1000);
    await utimes(old!, yesterday, yesterday);
    await marked(place, 'x');
    expect(readdirSync(join(root, 'killed'))).toEqual(['.model.bbbbbbbbbbbb.partial', 'model']);
  });

  it('replaces its own folders and empty ones, and others only when told', async () => {
    const place = join(root, 'replace/model');
    await mkdir(place, { recursive: true });
    await marked(place, 'first');
    await marked(place, 'second');
    expect(readFileSync(join(place, 'onnx/a'), 'utf8')).toBe('second');
    const foreign = join(root, 'replace/photos');
    await mkdir(foreign);
    await writeFile(join(foreign, 'holiday.jpg'), 'x');
    await expect(marked(foreign, 'x')).rejects.toThrow(/did not write/);
    expect(readdirSync(foreign)).toEqual(['holiday.jpg']);
    await writeFolderAtomic(foreign, (folder) => folder.writeFile('a', 'x'), { overwrite: true });
    expect(readdirSync(foreign)).toEqual(['a']);
    await expect(marked(join(foreign, 'a'), 'x')).rejects.toThrow(/there is a file/);
    expect(readdirSync(join(root, 'replace'))).toEqual(['model', 'photos']);
  });
});
