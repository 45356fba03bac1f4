import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  formatOf,
  loadTokenizer,
  openArtefactWeights,
  readManifest,
  verifyArtefact,
  weightName,
} from '@edgedesk/models';
import type { NBitLinear } from '@edgedesk/models';
import { nodeSha256 } from '@edgedesk/models/node';
import { EdgeDeskError } from '@edgedesk/tensor';
import { openFolder } from '@edgedesk/tensor/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyConfig } from '../model.case.js';
import type { SweepProgress } from '../sweep/sweep.js';
import { readCalibration } from './calibration-files.js';
import type { CompressOptions } from './compress.js';
import { compress } from './compress.js';
import { writeTinyBase } from './tiny-base.case.js';
import { workFolder } from './work-folder.js';

let root: string;
const inRoot = (name: string): string => join(root, name);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'edgedesk-calibrated-'));
  await writeTinyBase(root, tinyConfig, 40);
  await writeFile(inRoot('texts.jsonl'), '{"text":"一共三天。"}\n{"text":"where is it?","intent":"where"}\n');
});
afterAll(() => rm(root, { recursive: true }));

async function sentenceOf(action: Promise<unknown>): Promise<string> {
  const error: unknown = await action.then(
    () => null,
    (e: unknown) => e,
  );
  if (EdgeDeskError.isInstance(error)) return error.sentence;
  throw new Error(`no EdgeDeskError but ${String(error)}`);
}

const gptqTo = (out: string, more: Partial<CompressOptions> = {}): Promise<unknown> =>
  compress({
    source: inRoot('base'),
    bits: 4,
    method: 'gptq',
    calibration: { files: [inRoot('chats.jsonl')], tokens: 640 },
    threads: 1,
    outDir: inRoot(out),
    ...more,
  } as CompressOptions);

const dataOf = (out: string): Promise<Buffer> => readFile(join(inRoot(out), 'onnx', 'model_q4.onnx_data'));

describe('compress with calibration', () => {
  it('writes a whole artefact and says how it was made', async () => {
    await gptqTo('gptq', { embeddingBits: 8 } as Partial<CompressOptions>);
    const store = openFolder(inRoot('gptq'));
    const manifest = await readManifest(store);
    await verifyArtefact(store, manifest, nodeSha256);
    expect(manifest.provenance.at(-1)).toEqual({
      step: 'gptq',
      settings: { bits: 4, groupSize: 32, asymmetric: false, embeddingBits: 8, calibrationTokens: 640 },
    });
    expect(manifest.quantization.overrides['model.embed_tokens.weight']).toMatchObject({ bits: 8 });
    expect(existsSync(workFolder(inRoot('gptq')).path)).toBe(false);
  });

  it('tells 3 bits of information from the 4 that they are stored in', async () => {
    await gptqTo('three', { bits: 3, embeddingBits: 8 } as Partial<CompressOptions>);
    const store = openFolder(inRoot('three'));
    const manifest = await readManifest(store);
    expect(manifest.quantization.default).toMatchObject({ bits: 4, levelBits: 3 });
    const { parameters, bitsPerWeight, informationBitsPerWeight } = manifest;
    const inLayers = parameters - tinyConfig.vocabSize * tinyConfig.hiddenSize - 5 * tinyConfig.hiddenSize;
    expect(bitsPerWeight - informationBitsPerWeight!).toBeCloseTo(inLayers / parameters, 12);
    const { linears, close } = await openArtefactWeights(store);
    for (const [name, slot] of linears) expect(formatOf(await slot.read()), name).toEqual(slot.format);
    const levels = ((await linears.get(weightName.linear(1, 'up'))!.read()) as NBitLinear).levels;
    expect([Math.min(...levels), Math.max(...levels)]).toEqual([4, 11]);
    await close();
  });

  it('leaves the embedding alone when told so', async () => {
    for (const method of ['rtn', 'search'] as const) {
      const calibration = { files: [inRoot('chats.jsonl')], tokens: 640 };
      await compress({
        source: inRoot('base'),
        bits: 4,
        method,
        embeddingBits: 32,
        ...(method === 'rtn' ? {} : { calibration }),
        outDir: inRoot(`plain-${method}`),
      });
      const { quantization } = await readManifest(openFolder(inRoot(`plain-${method}`)));
      expect(Object.values(quantization.overrides)).toEqual([{ kind: 'dense', storage: 'f32' }]);
    }
  });

  it('goes on after it was stopped, with the same bytes', async () => {
    await gptqTo('whole');
    const controller = new AbortController();
    const onSweep = ({ done }: SweepProgress): unknown =>
      done === 1 && controller.abort(new Error('stopped'));
    await expect(gptqTo('cut', { onSweep, signal: controller.signal })).rejects.toThrow('stopped');
    expect(await readdir(workFolder(inRoot('cut')).path)).toEqual(['block-0.bin']);
    expect(existsSync(inRoot('cut'))).toBe(false);
    const phases: string[] = [];
    await gptqTo('cut', { onSweep: ({ phase, done }) => phases.push(`${phase} ${done}`) });
    expect(phases[0]).toBe('replay 0');
    expect(phases[1]).toBe('solve 1');
    expect((await dataOf('cut')).equals(await dataOf('whole'))).toBe(true);
    expect((await readdir(root)).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('needs text where the method looks at it, and only there', async () => {
    const source = inRoot('base');
    const outDir = inRoot('refused');
    expect(await sentenceOf(compress({ source, bits: 4, method: 'gptq', outDir }))).toBe(
      'calibration: this method looks at text, and none was given; name files to calibrate on, or choose the method "rtn".',
    );
    const calibration = { files: [inRoot('chats.jsonl')] };
    expect(await sentenceOf(compress({ source, bits: 4, calibration, outDir }))).toMatch(/leave it out/);
    expect(existsSync(outDir)).toBe(false);
  });
});

describe('calibration files', () => {
  const read = async (files: readonly string[], tokens?: number) => {
    const tokenizer = await loadTokenizer(openFolder(inRoot('base')));
    const chosen = { files: files.map(inRoot), ...(tokens === undefined ? {} : { tokens }) };
    return { calibration: await readCalibration(chosen, tokenizer, tinyConfig), tokenizer };
  };

  it('become rows of the model’s chat template, whole and always the same', async () => {
    const { calibration, tokenizer } = await read(['chats.jsonl', 'texts.jsonl'], 600);
    expect(calibration.seq).toBe(tinyConfig.contextLength);
    expect(calibration.ids).toHaveLength(640);
    const text = tokenizer.decode([...calibration.ids]);
    expect(text).toContain('<|im_start|>assistant\n订单');
    expect(text).toContain('一共三天。');
    const documents = text.split(/(?=<\|im_start\|>user)/).length;
    expect(Math.abs(Math.max(...calibration.segments) + 1 - documents)).toBeLessThanOrEqual(2);
    expect((await read(['chats.jsonl', 'texts.jsonl'], 600)).calibration).toEqual(calibration);
  });

  it('must exist, hold enough and be asked for sensibly', async () => {
    expect(await sentenceOf(read(['texts.jsonl']))).toMatch(
      /texts\.jsonl: the text has only \d+ tokens.* at least 512; add/,
    );
    expect(await sentenceOf(read(['none.jsonl']))).toMatch(/no such file/);
    expect(await sentenceOf(read([]))).toMatch(/no file was named/);
    expect(await sentenceOf(read(['chats.jsonl'], 0))).toMatch(/0 tokens/);
    expect(await sentenceOf(read(['chats.jsonl'], 1e12))).toMatch(/whole number from 1/);
    await mkdir(inRoot('folder'), { recursive: true });
    expect(await sentenceOf(read(['folder']))).toMatch(/folder/);
  });
});
