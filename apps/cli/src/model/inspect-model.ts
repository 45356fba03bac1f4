import { basename, resolve } from 'node:path';
import { loadCheckpoint, readManifest, verifyArtefact } from '@edgedesk/models';
import type { DecoderConfig, Manifest, ManifestFile } from '@edgedesk/models';
import { nodeSha256 } from '@edgedesk/models/node';
import type { DType, FileStore } from '@edgedesk/tensor';
import { openFolder } from '@edgedesk/tensor/node';
import { Progress } from '../terminal/progress.js';
import { locateModel } from './locate-model.js';
import { weightGroups } from './weight-groups.js';
import type { WeightGroup } from './weight-groups.js';

/** What a model is made of, as `inspect --json` prints it. */
export interface Inspection {
  readonly kind: 'artefact' | 'checkpoint';
  readonly name: string;
  readonly sizeBytes: number;
  readonly parameters: number;
  readonly bitsPerWeight: number;
  readonly config: DecoderConfig;
  /** Absent for a checkpoint. */
  readonly quantization?: Manifest['quantization'];
  /** Element type of a checkpoint's tensors. */
  readonly dtype?: DType;
  readonly groups: readonly WeightGroup[];
  readonly provenance: Manifest['provenance'];
  /** Hashes are known of an artefact's files only. */
  readonly files: readonly (Omit<ManifestFile, 'sha256'> & Partial<ManifestFile>)[];
  /** Whether every file has been compared with the manifest; absent for a checkpoint, which has none. */
  readonly verified?: boolean;
}

/** Reads a MODEL argument without loading it. CheckpointError when a file is not what its manifest says. */
export async function inspectModel(model: string, verify: boolean): Promise<Inspection> {
  const { kind, folder } = locateModel(model);
  const store = openFolder(folder);
  return kind === 'artefact' ? inspectArtefact(store, verify) : inspectCheckpoint(store, folder);
}

async function inspectArtefact(store: FileStore, verify: boolean): Promise<Inspection> {
  const manifest = await readManifest(store);
  const { name, sizeBytes, parameters, bitsPerWeight, config, quantization, provenance, files } = manifest;
  if (verify) {
    const progress = new Progress('Verifying');
    try {
      await verifyArtefact(store, manifest, nodeSha256);
    } finally {
      progress.finish();
    }
  }
  const groups = weightGroups(config, (weight, shape) =>
    shape.length === 2 ? (quantization.overrides[weight] ?? quantization.default) : 'f32',
  );
  const facts = { name, sizeBytes, parameters, bitsPerWeight, config, quantization, groups, provenance };
  return { kind: 'artefact', ...facts, files, verified: verify };
}

async function inspectCheckpoint(store: FileStore, folder: string): Promise<Inspection> {
  const { config, weights } = await loadCheckpoint(store);
  try {
    const groups = weightGroups(config, (weight) => weights.tensors.get(weight)!.dtype);
    const parameters = groups.reduce((sum, group) => sum + group.parameters, 0);
    const sizeBytes = groups.reduce((sum, group) => sum + group.sizeBytes, 0);
    return {
      kind: 'checkpoint',
      name: basename(resolve(folder)),
      sizeBytes,
      parameters,
      bitsPerWeight: (sizeBytes * 8) / parameters,
      config,
      dtype: weights.tensors.values().next().value!.dtype,
      groups,
      provenance: [],
      files: await filesOf(store),
    };
  } finally {
    await weights.close();
  }
}

async function filesOf(store: FileStore): Promise<{ path: string; sizeBytes: number }[]> {
  const files = [];
  for (const path of await store.list()) {
    const source = await store.open(path);
    files.push({ path, sizeBytes: source.sizeBytes });
    await source.close();
  }
  return files;
}
