import { CheckpointError, type ByteSource } from '@edgedesk/tensor';
import type { ParameterArena, Region } from '../optimizer/arena.js';
import type { TrainState } from './train-state.js';

const magic = 'EDTRAIN1';
const prefixBytes = 16;
/** The header holds every step's loss, about 150 bytes each: room for more than a million steps. */
const maxHeaderBytes = 256 * 2 ** 20;
const readChunkBytes = 16 * 2 ** 20;

interface CheckpointHeader {
  /** Of recipe and data. */
  readonly fingerprint: string;
  readonly state: TrainState;
  /** Parameter names in the arena's order. */
  readonly names: readonly string[];
  readonly regionBytes: number;
  readonly regions: readonly { readonly region: Region; readonly checksum: number }[];
}

/** Gradients are not state: the next step overwrites them. */
function savedRegions(arena: ParameterArena): Region[] {
  return arena.regions.filter((region) => region !== 'gradients' && region !== 'scratch');
}

/**
 * A checkpoint's bytes, in parts to be written one after another: magic and header length, JSON header, then the regions
 * as they lie in memory. The region parts are views: write them before the next step.
 */
export function encodeCheckpoint(
  arena: ParameterArena,
  state: TrainState,
  fingerprint: string,
): Uint8Array<ArrayBuffer>[] {
  const regions = savedRegions(arena).map((region) => ({ region, checksum: checksum(words(arena, region)) }));
  const header: CheckpointHeader = {
    fingerprint,
    state,
    names: arena.names,
    regionBytes: arena.regionBytes,
    regions,
  };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const prefix = new Uint8Array(prefixBytes);
  prefix.set(new TextEncoder().encode(magic));
  new DataView(prefix.buffer).setUint32(8, json.byteLength, true);
  return [prefix, json, ...regions.map(({ region }) => bytes(arena, region))];
}

/**
 * Reads a checkpoint into the arena and returns its state. `fingerprint`: that of the recipe and data it must belong to,
 * or null to take any with the same parameters.
 *
 * @throws CheckpointError when the file is damaged, or belongs to another recipe or model; the arena may then be partly
 * overwritten
 */
export async function readCheckpoint(
  source: ByteSource,
  arena: ParameterArena,
  fingerprint: string | null,
): Promise<TrainState> {
  const header = await readHeader(source);
  const regions = savedRegions(arena);
  if (header.names.join() !== arena.names.join() || header.regionBytes !== arena.regionBytes) {
    throw new CheckpointError('the checkpoint is of a model with other parameters', {
      where: source.name,
      fix: 'resume with the recipe it was made by, or train into another folder',
    });
  }
  if (fingerprint !== null && header.fingerprint !== fingerprint) {
    throw new CheckpointError('the recipe or its data changed since the checkpoint was made', {
      where: source.name,
      fix: 'restore them, train into another folder, or allow the change explicitly',
    });
  }
  if (header.regions.map(({ region }) => region).join() !== regions.join()) {
    throw new CheckpointError('the checkpoint was made with another choice of weight averaging', {
      where: source.name,
      fix: 'resume with the recipe it was made by',
    });
  }
  let offset = source.sizeBytes - regions.length * arena.regionBytes;
  for (const { region, checksum: expected } of header.regions) {
    const target = bytes(arena, region);
    for (let at = 0; at < target.byteLength; at += readChunkBytes) {
      const length = Math.min(readChunkBytes, target.byteLength - at);
      target.set(await source.read(offset + at, length), at);
    }
    offset += target.byteLength;
    if (checksum(words(arena, region)) !== expected) throw damaged(source);
  }
  return header.state;
}

async function readHeader(source: ByteSource): Promise<CheckpointHeader> {
  if (source.sizeBytes < prefixBytes) throw damaged(source);
  const prefix = await source.read(0, prefixBytes);
  const length = new DataView(prefix.buffer, prefix.byteOffset).getUint32(8, true);
  const isOurs = new TextDecoder('utf-8').decode(prefix.subarray(0, 8)) === magic;
  if (!isOurs || length > maxHeaderBytes || prefixBytes + length > source.sizeBytes) throw damaged(source);
  let header: CheckpointHeader;
  try {
    header = JSON.parse(new TextDecoder('utf-8').decode(await source.read(prefixBytes, length)));
  } catch {
    throw damaged(source);
  }
  if (!Array.isArray(header.names) || !Array.isArray(header.regions) || typeof header.state !== 'object') {
    throw damaged(source);
  }
  if (source.sizeBytes !== prefixBytes + length + header.regions.length * header.regionBytes)
    throw damaged(source);
  return header;
}

function damaged(source: ByteSource): CheckpointError {
  return new CheckpointError('the training checkpoint is damaged or cut off', {
    where: source.name,
    fix: 'delete it to resume from the one before',
  });
}

function bytes(arena: ParameterArena, region: Region): Uint8Array<ArrayBuffer> {
  const floats = arena.region(region);
  return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
}

function words(arena: ParameterArena, region: Region): Int32Array {
  const floats = arena.region(region);
  return new Int32Array(floats.buffer, floats.byteOffset, floats.length);
}

/** FNV-1a over 32-bit words. */
function checksum(data: Int32Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < data.length; i++) hash = Math.imul(hash ^ data[i]!, 0x01000193);
  return hash >>> 0;
}
