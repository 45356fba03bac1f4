import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { AsymmetricType, DecoderWeights } from '@edgedesk/models';
import {
  ggufWriter,
  isGguf,
  manifestPath,
  openArtefactWeights,
  readGgufWriter,
  verifyArtefact,
  writeGguf,
} from '@edgedesk/models';
import { nodeSha256, openCheckpoint } from '@edgedesk/models/node';
import type { FileStore } from '@edgedesk/tensor';
import { CheckpointError, RuntimeFailure } from '@edgedesk/tensor';
import { fillFileAtomic, openFile, openFolder, writeFolderAtomic } from '@edgedesk/tensor/node';
import { castPass } from '../cast.js';
import { gptqQuantizer, writeGptq } from '../export/gptq-checkpoint.js';
import type { ExportProgress } from '../export/write-artefact.js';
import { modelFromWeights, parameterCount } from '../model.js';

export interface ExportModelOptions {
  /** Path of an artefact, whose stored values are taken over, or of a checkpoint: a folder or a GGUF file. */
  readonly source: string;
  /** `gguf`: one file for llama.cpp. `gptq`: a folder for transformers, vLLM and TensorRT-LLM. */
  readonly format: 'gguf' | 'gptq';
  /** The file or folder to write. An earlier export there is replaced once the new one is whole. */
  readonly out: string;
  /** Width of a checkpoint's weights in GGUF. @default 16 where all are stored so, else 32: nothing is lost */
  readonly bits?: 16 | 32;
  /** GGUF's type for 4-bit groups with zero points. @default 'Q4_1' */
  readonly asymmetricType?: AsymmetricType;
  /** Replace what is at `out` even when we did not write it. @default false */
  readonly overwrite?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ExportProgress) => void;
}

export interface ExportReport {
  readonly name: string;
  readonly format: 'gguf' | 'gptq';
  readonly out: string;
  /** Of the GGUF file, or of the folder's weights. */
  readonly sizeBytes: number;
  readonly parameters: number;
  readonly bitsPerWeight: number;
}

interface Opened {
  readonly name: string;
  readonly weights: DecoderWeights;
  readonly tokenizerFiles: ReadonlyMap<string, string>;
  readonly generation: Readonly<Record<string, unknown>>;
  close(): Promise<void>;
}

/**
 * Writes a model in another runtime's format, whole or not at all, with the same quantized values. An artefact's files are
 * compared with its manifest first. CheckpointError, RecipeError or RuntimeFailure say in one sentence what was wrong.
 */
export async function exportModel(options: ExportModelOptions): Promise<ExportReport> {
  const { format, out } = options;
  const opened = await openSource(options);
  try {
    const sizeBytes = await (format === 'gguf' ? exportGguf(opened, options) : exportGptq(opened, options));
    const parameters = parameterCount(opened.weights.config);
    return {
      name: opened.name,
      format,
      out,
      sizeBytes,
      parameters,
      bitsPerWeight: (sizeBytes * 8) / parameters,
    };
  } finally {
    await opened.close();
  }
}

async function openSource({ source, bits, signal }: ExportModelOptions): Promise<Opened> {
  const found = await stat(source).catch(() => null);
  if (found?.isDirectory() && (await openFolder(source).has(manifestPath))) {
    if (bits !== undefined) {
      throw new CheckpointError('an artefact is exported as it is stored', {
        where: source,
        fix: 'leave out the bits, or export the checkpoint that it was made from',
      });
    }
    const store = openFolder(source);
    const weights = await openArtefactWeights(store);
    try {
      await verifyArtefact(store, weights.manifest, nodeSha256);
    } catch (error) {
      await weights.close();
      throw error;
    }
    const { tokenizerFiles, generation, manifest } = weights;
    return { name: manifest.name, weights, tokenizerFiles, generation, close: () => weights.close() };
  }
  const { name, config, weights, tokenizerFiles, generation } = await openCheckpoint(source);
  const matrices = [...weights.tensors.values()].filter(({ shape }) => shape.length === 2);
  const stored = matrices.every(({ dtype }) => dtype === 'f16') ? 16 : 32;
  const storage = (bits ?? stored) === 16 ? 'f16' : 'f32';
  const model = await castPass.apply(
    modelFromWeights(name, config, weights),
    { storage },
    signal ? { signal } : {},
  );
  return { name, weights: model, tokenizerFiles, generation, close: () => weights.close() };
}

async function exportGguf(opened: Opened, options: ExportModelOptions): Promise<number> {
  const { out, asymmetricType, overwrite, signal } = options;
  if (overwrite !== true) await mayReplaceGguf(out);
  return fillFileAtomic(out, (file) =>
    writeGguf({
      ...opened,
      file,
      ...progressOf(options),
      ...(asymmetricType ? { asymmetricType } : {}),
      ...(signal ? { signal } : {}),
    }),
  );
}

async function exportGptq(opened: Opened, options: ExportModelOptions): Promise<number> {
  const { out, overwrite, signal } = options;
  return writeFolderAtomic(
    out,
    async (folder) => {
      await writeGptq({ ...opened, folder, ...progressOf(options), ...(signal ? { signal } : {}) });
      let sizeBytes = 0;
      for (const file of await folder.store.list()) {
        if (!file.endsWith('.safetensors')) continue;
        const weights = await folder.store.open(file);
        sizeBytes += weights.sizeBytes;
        await weights.close();
      }
      return sizeBytes;
    },
    { overwrite: overwrite ?? false, isOurs: isOurGptq },
  );
}

function progressOf({ onProgress }: ExportModelOptions) {
  return onProgress
    ? { onTensor: (weight: string, done: number, total: number) => onProgress({ weight, done, total }) }
    : {};
}

/** RuntimeFailure when there is a file that is no export of ours. */
async function mayReplaceGguf(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null) return;
  if (found.isDirectory()) {
    throw new RuntimeFailure('there is a folder of this name', {
      where: path,
      fix: `name a file, for example ${basename(resolve(path))}/model.gguf`,
    });
  }
  const source = await openFile(path);
  try {
    if ((await isGguf(source)) && (await readGgufWriter(source)) === ggufWriter) return;
  } catch (error) {
    if (!CheckpointError.isInstance(error)) throw error;
  } finally {
    await source.close();
  }
  throw new RuntimeFailure('there is a file that EdgeDesk did not write', {
    where: path,
    fix: 'choose another name',
  });
}

/** Configurations have a few kilobytes. */
const maxConfigBytes = 2 ** 20;

async function isOurGptq(existing: FileStore): Promise<boolean> {
  if (!(await existing.has('config.json'))) return false;
  try {
    const config = JSON.parse(await existing.readText('config.json', maxConfigBytes)) as {
      quantization_config?: { meta?: { quantizer?: unknown } };
    } | null;
    const quantizer = config?.quantization_config?.meta?.quantizer;
    return Array.isArray(quantizer) && quantizer.includes(gptqQuantizer);
  } catch {
    return false;
  }
}
