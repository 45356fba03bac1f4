import { readFile, stat } from 'node:fs/promises';
import type { DecoderConfig } from '@edgedesk/models';
import { nodeSha256 } from '@edgedesk/models/node';
import { RecipeError } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { measureSensitivity } from '../mixed/measure-sensitivity.js';
import { defaultProbeTokens, mixedFormats } from '../mixed/mixed-precision.js';
import type { Sensitivity } from '../mixed/sensitivity.js';
import { parseSensitivity } from '../mixed/sensitivity.js';
import { modelFromWeights } from '../model.js';
import type { GroupMethod } from '../quantize/solve-in-format.js';
import type { SweepProgress } from '../sweep/sweep.js';
import { memoryWorkspace } from '../sweep/workspace.js';
import type { CalibrationFiles } from './calibration-files.js';
import { readCalibration } from './calibration-files.js';
import { openSource } from './compress.js';

export interface ModelSensitivityOptions {
  /** Path of a checkpoint, a folder in the Hugging Face layout or a GGUF file. */
  readonly source: string;
  readonly calibration: CalibrationFiles;
  /** @default 'gptq' */
  readonly method?: GroupMethod;
  /** Tokens that the divergence at the output is measured on. @default 512 */
  readonly probeTokens?: number;
  /** @default all cores */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onSweep?: (progress: SweepProgress) => void;
}

/** Measures how sensitive each weight of a checkpoint is to being stored in fewer bits. */
export async function modelSensitivity(
  options: ModelSensitivityOptions,
): Promise<{ readonly config: DecoderConfig; readonly sensitivity: Sensitivity }> {
  const { source, calibration, method = 'gptq', probeTokens = defaultProbeTokens, threads, signal } = options;
  const { name, config, weights, tokenizer } = await openSource(source);
  try {
    const sensitivity = await measureSensitivity(
      modelFromWeights(name, config, weights),
      { method, formats: mixedFormats, probeTokens },
      {
        calibration: await readCalibration(calibration, tokenizer, config),
        backend: nodeBackend(),
        workspace: memoryWorkspace(),
        sha256: nodeSha256,
        ...(threads === undefined ? {} : { threads }),
        ...(signal ? { signal } : {}),
        ...(options.onSweep ? { onProgress: options.onSweep } : {}),
      },
    );
    return { config, sensitivity };
  } finally {
    await weights.close();
  }
}

/** A sensitivity of the largest published decoders. */
const maxSensitivityBytes = 64 * 2 ** 20;

/** Reads what `edgedesk sensitivity --json FILE` wrote. RecipeError when there is none. */
export async function readSensitivity(path: string): Promise<Sensitivity> {
  const fix = 'measure it with `edgedesk sensitivity --json FILE`';
  let json: unknown;
  try {
    const { size } = await stat(path);
    if (size > maxSensitivityBytes) {
      throw new RecipeError(`the file has ${size} bytes, and no measurement is that large`, {
        where: path,
        fix,
      });
    }
    json = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (error instanceof RecipeError) throw error;
    throw new RecipeError('this is no file of measurements', { where: path, fix, cause: error });
  }
  return parseSensitivity(json, path);
}
