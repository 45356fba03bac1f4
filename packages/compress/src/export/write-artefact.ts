import type { DecoderConfig, LinearFormat, Manifest, ManifestFile, Sha256 } from '@edgedesk/models';
import {
  configJson,
  fingerprint,
  fuseDecoder,
  informationBits,
  manifestPath,
  sameFormat,
  writeWeights,
} from '@edgedesk/models';
import type { FileStore } from '@edgedesk/tensor';
import { encodeModel } from '@edgedesk/tensor';
import type { Model } from '../model.js';
import { parameterCount } from '../model.js';
import type { Companions } from './companions.js';
import { withTemplateInside } from './companions.js';
import { genaiConfig } from './genai-config.js';
import type { ModelFiles } from './model-files.js';
import { modelFiles } from './model-files.js';

/** The folder an artefact is written to. Nothing in it counts before the whole is there. */
export interface ArtefactFolder {
  writeFile(path: string, content: Uint8Array | string): Promise<void>;
  /** A file that is written at any offset; parts never written are zero. */
  create(path: string): Promise<ArtefactFile>;
  /** The folder as it stands, for fingerprints. */
  readonly store: FileStore;
}

export interface ArtefactFile {
  write(offset: number, bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** One report after each weight. */
export interface ExportProgress {
  readonly weight: string;
  /** Weights written and to write. */
  readonly done: number;
  readonly total: number;
}

export interface ExportOptions {
  readonly model: Model;
  readonly companions: Companions;
  readonly folder: ArtefactFolder;
  readonly sha256: () => Sha256;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ExportProgress) => void;
}

/**
 * Writes `model` as an artefact: a fused ONNX decoder with its weights beside it, tokenizer and configs where
 * transformers.js and onnxruntime-genai look for them, and the manifest over all of it. One weight is in memory at a
 * time.
 */
export async function writeArtefact(options: ExportOptions): Promise<Manifest> {
  const { model, companions, folder } = options;
  const quantization = usualFormat(model);
  const files = modelFiles(quantization.default);
  await writeModel(options, files);

  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  const paths = [files.model, files.data];
  const add = async (path: string, content: Uint8Array | string): Promise<void> => {
    await folder.writeFile(path, content);
    paths.push(path);
  };
  await add('config.json', json(transformersConfig(model.config, files)));
  await add('generation_config.json', json(generationConfig(model.config, companions)));
  await add('genai_config.json', json(genaiConfig(model.config, files.model, companions.generationConfig)));
  for (const [path, text] of withTemplateInside(companions.tokenizerFiles)) await add(path, text);

  const entries: ManifestFile[] = [];
  for (const path of paths) {
    options.signal?.throwIfAborted();
    entries.push(await fingerprint(folder.store, path, options.sha256));
  }
  const parameters = parameterCount(model.config);
  const sizeBytes = entries[0]!.sizeBytes + entries[1]!.sizeBytes;
  const unused = unusedBits(model);
  const manifest: Manifest = {
    format: 1,
    name: model.name,
    model: files.model,
    config: { ...model.config, eosTokenIds: [...model.config.eosTokenIds] },
    quantization,
    parameters,
    sizeBytes,
    bitsPerWeight: (sizeBytes * 8) / parameters,
    ...(unused === 0 ? {} : { informationBitsPerWeight: (sizeBytes * 8 - unused) / parameters }),
    provenance: [...model.provenance],
    files: entries,
  };
  await folder.writeFile(manifestPath, json(manifest));
  return manifest;
}

/** The graph and its data file. */
async function writeModel(options: ExportOptions, files: ModelFiles): Promise<void> {
  const { model, folder, signal, onProgress } = options;
  const fused = fuseDecoder(model.config, {
    dataFile: files.dataName,
    formatOf: (weight) => model.linears.get(weight)!.format,
  });
  const total = fused.units.reduce((sum, unit) => sum + unit.weights.length, 0);
  let done = 0;
  const data = await folder.create(files.data);
  try {
    await writeWeights(
      fused.units,
      { linear: (name) => model.linears.get(name)!.read(), vector: (name) => model.readVector(name) },
      (offset, bytes) => {
        signal?.throwIfAborted();
        return data.write(offset, bytes);
      },
      (weight) => onProgress?.({ weight, done: ++done, total }),
    );
  } finally {
    await data.close();
  }
  await folder.writeFile(files.model, encodeModel(fused.graph, { graphName: 'decoder' }));
}

/** Bits of levels that are stored and carry no information. */
function unusedBits(model: Model): number {
  let bits = 0;
  for (const { format, shape } of model.linears.values()) {
    if (format.kind === 'nbit') bits += (format.bits - informationBits(format)) * shape[0] * shape[1];
  }
  return bits;
}

/** Equal for writers and readers of a manifest, where `sameFormat` is about packing. */
const isFormat = (a: LinearFormat, b: LinearFormat): boolean =>
  sameFormat(a, b) && informationBits(a) === informationBits(b);

/** The format that most weights of the model have, and the others by name. */
function usualFormat(model: Model): { default: LinearFormat; overrides: Record<string, LinearFormat> } {
  const weightsIn: { format: LinearFormat; count: number }[] = [];
  for (const { format, shape } of model.linears.values()) {
    const known = weightsIn.find((entry) => isFormat(entry.format, format));
    if (known) known.count += shape[0] * shape[1];
    else weightsIn.push({ format, count: shape[0] * shape[1] });
  }
  const usual = weightsIn.reduce((a, b) => (b.count > a.count ? b : a)).format;
  const others = [...model.linears].filter(([, slot]) => !isFormat(slot.format, usual));
  return { default: usual, overrides: Object.fromEntries(others.map(([name, slot]) => [name, slot.format])) };
}

function transformersConfig(config: DecoderConfig, files: ModelFiles): Record<string, unknown> {
  return {
    ...configJson(config),
    'transformers.js_config': { dtype: files.transformersDtype, use_external_data_format: true },
  };
}

/** The checkpoint's, with the ids that end a reply where loaders look for them. */
function generationConfig(config: DecoderConfig, companions: Companions): Record<string, unknown> {
  const { bosTokenId, eosTokenIds, padTokenId } = config;
  return {
    ...companions.generationConfig,
    ...(bosTokenId === null ? {} : { bos_token_id: bosTokenId }),
    ...(padTokenId === null ? {} : { pad_token_id: padTokenId }),
    eos_token_id: eosTokenIds.length === 1 ? eosTokenIds[0] : eosTokenIds,
  };
}
