import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { readManifest, verifyArtefact } from '@edgedesk/models';
import type { DecoderConfig, Manifest, ManifestFile, WeightSource } from '@edgedesk/models';
import { nodeSha256, openCheckpoint } from '@edgedesk/models/node';
import type { ByteSource, FileStore } from '@edgedesk/tensor';
import { openFile, openFolder } from '@edgedesk/tensor/node';
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
  /** How a checkpoint stores its tensors, most of them first: `f32`, or `Q4_1, f32, Q8_0`. */
  readonly dtype?: string;
  readonly groups: readonly WeightGroup[];
  readonly provenance: Manifest['provenance'];
  /** Hashes are known of an artefact's files only. */
  readonly files: readonly (Omit<ManifestFile, 'sha256'> & Partial<ManifestFile>)[];
  /** Whether every file has been compared with the manifest; absent for a checkpoint, which has none. */
  readonly verified?: boolean;
}

/** Reads a MODEL argument without loading it. CheckpointError when a file is not what its manifest says. */
export async function inspectModel(model: string, verify: boolean): Promise<Inspection> {
  const { kind, path } = await locateModel(model);
  return kind === 'artefact' ? inspectArtefact(openFolder(path), verify) : inspectCheckpoint(path);
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

async function inspectCheckpoint(path: string): Promise<Inspection> {
  const { name, config, weights } = await openCheckpoint(path);
  try {
    const groups = weightGroups(config, (weight) => {
      const { dtype, sizeBytes } = weights.tensors.get(weight)!;
      return sizeBytes === undefined ? dtype : { sizeBytes };
    });
    const parameters = groups.reduce((sum, group) => sum + group.parameters, 0);
    const sizeBytes = groups.reduce((sum, group) => sum + group.sizeBytes, 0);
    return {
      kind: 'checkpoint',
      name,
      sizeBytes,
      parameters,
      bitsPerWeight: (sizeBytes * 8) / parameters,
      config,
      dtype: storedTypes(weights),
      groups,
      provenance: [],
      files: await filesOf(path),
    };
  } finally {
    await weights.close();
  }
}

function storedTypes({ tensors }: WeightSource): string {
  const counts = new Map<string, number>();
  for (const { encoding, dtype } of tensors.values()) {
    counts.set(encoding ?? dtype, (counts.get(encoding ?? dtype) ?? 0) + 1);
  }
  return [...counts.keys()].sort((a, b) => counts.get(b)! - counts.get(a)!).join(', ');
}

async function filesOf(path: string): Promise<{ path: string; sizeBytes: number }[]> {
  if (statSync(path).isFile()) return [{ path: basename(path), sizeBytes: await sizeOf(openFile(path)) }];
  const store = openFolder(path);
  const files = [];
  for (const name of await store.list())
    files.push({ path: name, sizeBytes: await sizeOf(store.open(name)) });
  return files;
}

async function sizeOf(opened: Promise<ByteSource>): Promise<number> {
  const source = await opened;
  await source.close();
  return source.sizeBytes;
}
