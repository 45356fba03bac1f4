import { type ByteSource, CheckpointError, elementCount, f16ToF32, type FileStore } from '@edgedesk/tensor';
import { readTokenizerFiles } from '../checkpoint/load-checkpoint.js';
import { readJson } from '../checkpoint/read-json.js';
import { missingTensor } from '../checkpoint/safetensors.js';
import { weightShapes } from '../config.js';
import { fuseDecoder } from '../decoder/fuse.js';
import type { PlacedPart, PlacedUnit } from '../decoder/fuse-weights.js';
import type { DecoderWeights, StoredLinear } from '../linear/decoder-weights.js';
import type { Linear, LinearFormat } from '../linear/linear.js';
import { groupsPerRow, quantizedLinear } from '../linear/linear.js';
import { unpackRows } from '../linear/pack.js';
import { partSize, storedParts, storedSize } from '../linear/stored.js';
import { loadTokenizer } from '../tokenizer/load-tokenizer.js';
import { type Manifest, readManifest } from './manifest.js';

const generationFile = 'generation_config.json';
/** It has a dozen settings. */
const maxGenerationBytes = 2 ** 20;

/** An artefact's weights as they are stored, quantized values and all; the caller closes it. */
export interface ArtefactWeights extends DecoderWeights {
  readonly manifest: Manifest;
  readonly tokenizerFiles: ReadonlyMap<string, string>;
  /** `generation_config.json`; empty when there is none. */
  readonly generation: Readonly<Record<string, unknown>>;
  close(): Promise<void>;
}

/** A weight's place: its unit, and the rows stacked above it. */
interface Place {
  readonly unit: PlacedUnit;
  readonly rowsBefore: number;
}

/**
 * Opens the weights of the artefact in `store`, read when asked for from where `fuseDecoder` places them. CheckpointError when
 * the manifest is malformed or the data file is not of the size that it asks for. Hashes are `verifyArtefact`'s business.
 */
export async function openArtefactWeights(store: FileStore): Promise<ArtefactWeights> {
  const manifest = await readManifest(store);
  await loadTokenizer(store); // Refuses malformed files.
  const tokenizerFiles = await readTokenizerFiles(store);
  const generation = (await store.has(generationFile))
    ? await readJson(store, generationFile, maxGenerationBytes)
    : {};
  const { config, quantization } = manifest;
  const formatOf = (weight: string): LinearFormat => quantization.overrides[weight] ?? quantization.default;
  const source = await store.open(`${manifest.model}_data`);
  try {
    const shapes = weightShapes(config);
    checkSize(shapes, formatOf, source);
    // Positions do not move the weights, and their tables may be large.
    const fused = fuseDecoder({ ...config, contextLength: 1 }, { dataFile: 'data', formatOf });
    if (fused.dataSizeBytes !== source.sizeBytes) throw wrongSize(source, fused.dataSizeBytes);
    const places = placesOf(fused.units, shapes);
    const linears = new Map<string, StoredLinear>();
    for (const [weight, shape] of shapes) {
      if (shape.length !== 2) continue;
      const matrix = [shape[0]!, shape[1]!] as const;
      const place = places.get(weight)!;
      const format = formatOf(weight);
      linears.set(weight, { shape: matrix, format, read: () => readLinear(source, place, format, matrix, weight) });
    }
    return {
      manifest,
      config,
      tokenizerFiles,
      generation: generation as ArtefactWeights['generation'],
      linears,
      readVector: async (weight) => {
        const place = places.get(weight);
        if (place === undefined || place.unit.format !== null) throw missingTensor(weight, source.name);
        const bytes = await source.read(place.unit.parts[0]!.offset + place.rowsBefore * 4, shapes.get(weight)![0]! * 4);
        return finite(new Float32Array(bytes.buffer), weight, source.name);
      },
      close: () => source.close(),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Refuses sizes that the file has no room for before anything grows with them. */
function checkSize(
  shapes: ReadonlyMap<string, readonly number[]>,
  formatOf: (weight: string) => LinearFormat,
  source: ByteSource,
): void {
  let least = 0;
  for (const [weight, shape] of shapes) {
    least += shape.length === 2 ? storedSize(formatOf(weight), [shape[0]!, shape[1]!]) : 4 * elementCount(shape);
  }
  if (least > source.sizeBytes) throw wrongSize(source, least);
}

function wrongSize(source: ByteSource, expected: number): CheckpointError {
  return new CheckpointError(`the file has ${source.sizeBytes} bytes but the manifest's model takes ${expected}`, {
    where: source.name,
    fix: 'copy or download the artefact again',
  });
}

function placesOf(units: readonly PlacedUnit[], shapes: ReadonlyMap<string, readonly number[]>): Map<string, Place> {
  const places = new Map<string, Place>();
  for (const unit of units) {
    let rowsBefore = 0;
    for (const weight of unit.weights) {
      places.set(weight, { unit, rowsBefore });
      rowsBefore += shapes.get(weight)![0]!;
    }
  }
  return places;
}

async function readLinear(
  source: ByteSource,
  { unit, rowsBefore }: Place,
  format: LinearFormat,
  shape: readonly [number, number],
  weight: string,
): Promise<Linear> {
  const [rows, columns] = shape;
  const stacked = new Map<string, PlacedPart>(unit.parts.map((part) => [part.part, part]));
  const parts = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const part of storedParts(format, shape)) {
    const sizeBytes = partSize(part);
    const offset = stacked.get(part.part)!.offset + (sizeBytes / rows) * rowsBefore;
    parts.set(part.part, await source.read(offset, sizeBytes));
  }
  const halves = (part: string): Float32Array => f16ToF32(new Uint16Array(parts.get(part)!.buffer));
  if (format.kind === 'dense') {
    const { storage } = format;
    const values = storage === 'f16' ? halves('weight') : new Float32Array(parts.get('weight')!.buffer);
    return { kind: 'dense', shape, storage, weight: finite(values, weight, source.name) };
  }
  const { bits, groupSize, asymmetric } = format;
  const groups = groupsPerRow(columns, groupSize);
  const levels = unpackRows(parts.get('levels')!, rows, columns, bits, groups * groupSize);
  return quantizedLinear(shape, format, levels, {
    scales: finite(halves('scales'), weight, source.name),
    ...(asymmetric ? { zeroPoints: unpackRows(parts.get('zeroPoints')!, rows, groups, bits) } : {}),
  });
}

function finite<T extends Float32Array>(values: T, weight: string, where: string): T {
  const at = values.findIndex((x) => !Number.isFinite(x));
  if (at < 0) return values;
  throw new CheckpointError(`the weight \`${weight}\` has the value ${values[at]} in its numbers`, {
    where,
    fix: 'copy or download the artefact again',
  });
}
