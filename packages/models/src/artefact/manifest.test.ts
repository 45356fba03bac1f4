import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EdgeDeskError } from '@edgedesk/tensor';
import { openFolder } from '@edgedesk/tensor/node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tinyConfig } from '../decoder/decoder.case.js';
import { nodeSha256 } from '../node/index.js';
import type { Manifest } from './manifest.js';
import { readManifest } from './manifest.js';
import { fingerprint, verifyArtefact } from './verify.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'edgedesk-manifest-'));
  await mkdir(join(folder, 'onnx'));
  await writeFile(join(folder, 'onnx/model_q4.onnx'), 'graph');
  await writeFile(join(folder, 'onnx/model_q4.onnx_data'), new Uint8Array(5 * 2 ** 20).fill(7));
});
afterEach(() => rm(folder, { recursive: true }));

async function goodManifest(): Promise<Manifest> {
  const store = openFolder(folder);
  const paths = ['onnx/model_q4.onnx', 'onnx/model_q4.onnx_data'];
  const files = [];
  for (const path of paths) files.push(await fingerprint(store, path, nodeSha256));
  return {
    format: 1,
    name: '客服 tiny',
    model: 'onnx/model_q4.onnx',
    config: { ...tinyConfig, eosTokenIds: [2] },
    quantization: { default: { kind: 'nbit', bits: 4, groupSize: 32, asymmetric: false }, overrides: {} },
    parameters: 1000,
    sizeBytes: files[0]!.sizeBytes + files[1]!.sizeBytes,
    bitsPerWeight: 4.5,
    provenance: [{ step: 'checkpoint', settings: { name: 'tiny' } }],
    files,
  };
}

const write = (content: unknown): Promise<void> =>
  writeFile(join(folder, 'edgedesk.json'), typeof content === 'string' ? content : JSON.stringify(content));

async function sentenceOf(action: Promise<unknown>): Promise<string> {
  const error: unknown = await action.then(
    () => null,
    (e: unknown) => e,
  );
  if (EdgeDeskError.isInstance(error)) return error.sentence;
  throw new Error(`no EdgeDeskError but ${String(error)}`);
}

describe('readManifest', () => {
  it('returns what was written', async () => {
    const manifest = await goodManifest();
    await write(manifest);
    expect(await readManifest(openFolder(folder))).toEqual(manifest);
  });

  it('hashes as sha256sum does', async () => {
    expect((await goodManifest()).files[0]!.sha256).toBe(
      'eef93e1d14482804277fca0172464032d1a4fdbcc338524059fa1e861454ad4d',
    );
  });

  type Edit = (m: Record<string, unknown> & { config: object; files: object[] }) => unknown;
  it.each<[string, Edit, RegExp]>([
    ['another format', (m) => ({ ...m, format: 2 }), /"format" cannot be used/],
    ['a path that climbs', (m) => ({ ...m, model: '../../etc/passwd' }), /"model" cannot be used: must be a path inside/],
    ['an absolute path', (m) => ({ ...m, files: [{ ...m.files[0], path: '/etc/passwd' }] }), /"files.0.path"/],
    ['a hidden folder', (m) => ({ ...m, model: 'onnx/.././../x' }), /"model"/],
    ['a backslash', (m) => ({ ...m, model: 'onnx\\model' }), /"model"/],
    ['a model that is not listed', (m) => ({ ...m, model: 'onnx/other.onnx' }), /"model" cannot be used: must be one of files/],
    ['a file twice', (m) => ({ ...m, files: [m.files[0], m.files[0], m.files[1]] }), /"files" .*each path once/],
    ['a short hash', (m) => ({ ...m, files: [{ ...m.files[0], sha256: 'ab' }] }), /"files.0.sha256"/],
    ['too many files', (m) => ({ ...m, files: new Array(2000).fill(m.files[0]) }), /"files"/],
    ['a negative size', (m) => ({ ...m, sizeBytes: -1 }), /"sizeBytes"/],
    ['an endless vocabulary', (m) => ({ ...m, config: { ...m.config, vocabSize: 1e12 } }), /"config.vocabSize"/],
    ['a billion layers', (m) => ({ ...m, config: { ...m.config, layerCount: 1e9 } }), /"config.layerCount"/],
    ['heads that do not divide', (m) => ({ ...m, config: { ...m.config, kvHeadCount: 3 } }), /"config.kvHeadCount" .*divide/],
    ['5 bits', (m) => ({ ...m, quantization: { default: { kind: 'nbit', bits: 5, groupSize: 32, asymmetric: false }, overrides: {} } }), /"quantization.default.bits"/],
    ['a list', () => [], /the manifest cannot be used/],
    ['no JSON', () => '{"format": 1', /is not JSON/],
    ['nothing', () => '', /is not JSON/],
    ['deep nesting', () => '['.repeat(100_000), /nested/],
    ['many megabytes', () => `"${'x'.repeat(5 * 2 ** 20)}"`, /more than the 4194304 allowed/],
  ])('refuses %s', async (_, edit, message) => {
    await write(edit((await goodManifest()) as unknown as Parameters<Edit>[0]));
    const sentence = await sentenceOf(readManifest(openFolder(folder)));
    expect(sentence).toMatch(message);
    expect(sentence).toContain('edgedesk.json');
  });

  it('says that a folder is no artefact', async () => {
    expect(await sentenceOf(readManifest(openFolder(folder)))).toMatch(/edgedesk.json.*missing/);
  });
});

describe('verifyArtefact', () => {
  it('accepts what is whole', async () => {
    await verifyArtefact(openFolder(folder), await goodManifest(), nodeSha256);
  });

  it('names the file that was cut off, changed or lost', async () => {
    const manifest = await goodManifest();
    const data = join(folder, 'onnx/model_q4.onnx_data');
    await writeFile(data, new Uint8Array(5 * 2 ** 20).fill(7).fill(6, 4 * 2 ** 20 + 3, 4 * 2 ** 20 + 4));
    expect(await sentenceOf(verifyArtefact(openFolder(folder), manifest, nodeSha256))).toMatch(
      /model_q4.onnx_data: the file's SHA-256 is not the manifest's/,
    );
    await truncate(data, 100);
    expect(await sentenceOf(verifyArtefact(openFolder(folder), manifest, nodeSha256))).toMatch(
      /model_q4.onnx_data: the file has 100 bytes but the manifest says 5242880/,
    );
    await rm(data);
    expect(await sentenceOf(verifyArtefact(openFolder(folder), manifest, nodeSha256))).toMatch(
      /model_q4.onnx_data: the file is missing/,
    );
  });
});
