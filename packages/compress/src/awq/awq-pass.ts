import { weightName } from '@edgedesk/models';
import { Gemm } from '../linear-algebra/gemm.js';
import type { Matrix } from '../linear-algebra/gemm.js';
import type { Model } from '../model.js';
import { denseWeight } from '../model.js';
import { definePass } from '../pass.js';
import { sweepContext } from '../quantize/calibrated.js';
import { nbitFormat, weightFormat } from '../quantize/settings.js';
import type { WeightFormat } from '../quantize/settings.js';
import { BlockRunner } from '../sweep/block-runner.js';
import { fingerprintOf } from '../sweep/fingerprint.js';
import { readBlock } from '../sweep/read-block.js';
import { secondMoment } from '../sweep/statistic.js';
import type { SweepContext } from '../sweep/sweep.js';
import type { BlockScales, TensorScale } from './scaled-block.js';
import { scaleSites, scaleTensor, tensorScales } from './scaled-block.js';
import { searchAwqScales } from './search-scales.js';

const settings = weightFormat.extend({ groupSize: weightFormat.shape.groupSize.default(32) });

/**
 * Scales the channels that see strong inputs up before they are quantized, and what makes these inputs down: the model
 * computes the same, and rounding to the format costs less. A pass that quantizes comes after it.
 */
export const awqPass = definePass({
  name: 'awq',
  settings,
  needs: 'calibration',
  async apply(model, format, context) {
    const sweep = sweepContext('awq', context);
    const scales = await findScales(model, format, sweep);
    const calibrationTokens = sweep.calibration.ids.length;
    return foldScales(model, scales, { step: 'awq', settings: { ...format, calibrationTokens } });
  },
});

/** Factors of every block's sites, from the workspace as far as they were found before. */
async function findScales(model: Model, format: WeightFormat, context: SweepContext): Promise<BlockScales[]> {
  const { config } = model;
  const { calibration, backend, workspace, sha256, signal } = context;
  const threads = context.threads ?? backend.cores;
  const embedding = denseWeight(await model.linears.get(weightName.embedding)!.read());
  const decisive = JSON.stringify([scalesVersion, config, format, calibration.seq, backend.name, threads]);
  let fingerprint = fingerprintOf(sha256, decisive, [calibration.ids, calibration.segments, embedding]);
  const fingerprints: string[] = [];
  const found: BlockScales[] = [];
  for (let layer = 0; layer < config.layerCount; layer++) {
    signal?.throwIfAborted();
    fingerprint = fingerprintOf(sha256, fingerprint, (await readBlock(model, layer)).values());
    fingerprints.push(fingerprint);
    if (found.length < layer) continue;
    const record = await workspace.read(`awq-${layer}`);
    const scales =
      record &&
      decodeScales(
        record,
        fingerprint,
        scaleSites(config).map((site) => site.channels),
      );
    if (scales) found.push(scales);
  }
  if (found.length === config.layerCount) return found;
  const gemm = new Gemm(backend, threads);
  const runner = new BlockRunner(config, calibration, embedding, backend, threads, signal);
  try {
    const known = found.length;
    const started = performance.now();
    for (let layer = 0; layer < config.layerCount; layer++) {
      const weights = await readBlock(model, layer);
      const where = `${model.name}, block ${layer}`;
      if (layer < known) {
        report(context, layer, config.layerCount, null);
        await runner.replay(weights, where);
        continue;
      }
      const seconds = (performance.now() - started) / 1000;
      const secondsLeft = layer === known ? null : (seconds / (layer - known)) * (config.layerCount - layer);
      report(context, layer, config.layerCount, secondsLeft);
      const scales: Float32Array[] = [];
      for (const site of scaleSites(config)) {
        const observed = (await runner.run(site.stage, weights, where, secondMoment))!;
        const n = Math.sqrt(observed.length);
        const H: Matrix = { rows: n, columns: n, data: Float32Array.from(observed) };
        const readers = site.readers.map((role) => ({
          weight: weights.get(weightName.linear(0, role))!,
          shape: model.linears.get(weightName.linear(layer, role))!.shape,
        }));
        signal?.throwIfAborted();
        scales.push(await searchAwqScales(site, readers, H, nbitFormat(format), gemm, where));
      }
      await runner.finishBlock(weights, where);
      await workspace.write(`awq-${layer}`, encodeScales(fingerprints[layer]!, scales));
      found.push(scales);
    }
    return found;
  } finally {
    await gemm.release();
    await runner.release();
  }
}

function report(context: SweepContext, done: number, total: number, secondsLeft: number | null): void {
  context.onProgress?.({ phase: 'measure', done, total, roles: [], secondsLeft });
}

/** The model with the factors multiplied into its weights, norms and biases as they are read: it computes the same. */
export function foldScales(
  model: Model,
  scales: readonly BlockScales[],
  step: Model['provenance'][number],
): Model {
  const blocks = scales.map((own) => tensorScales(model.config, own));
  const scaleOf = (weight: string): TensorScale | undefined => {
    const layer = /^model\.layers\.(\d+)\./.exec(weight)?.[1];
    if (layer === undefined) return undefined;
    return blocks[Number(layer)]?.get(weight.replace(`model.layers.${layer}.`, 'model.layers.0.'));
  };
  return {
    ...model,
    linears: new Map(
      [...model.linears].map(([weight, slot]) => {
        const scale = scaleOf(weight);
        if (!scale) return [weight, slot];
        const { shape } = slot;
        const read = async () => {
          const dense = denseWeight(await slot.read());
          scaleTensor(dense, shape[1], scale);
          return { kind: 'dense' as const, storage: 'f32' as const, shape, weight: dense };
        };
        return [weight, { shape, format: { kind: 'dense', storage: 'f32' }, read }];
      }),
    ),
    readVector: async (weight) => {
      const vector = await model.readVector(weight);
      const scale = scaleOf(weight);
      if (scale) scaleTensor(vector, vector.length, scale);
      return vector;
    },
    provenance: [...model.provenance, step],
  };
}

/** Raise when the same model and text give other factors. */
const scalesVersion = 1;
/** A fingerprint's hexadecimal digits. */
const digits = 64;

/** The fingerprint, then all factors as f32. */
function encodeScales(fingerprint: string, scales: BlockScales): Uint8Array<ArrayBuffer> {
  const values = Float32Array.from(scales.flatMap((own) => [...own]));
  const record = new Uint8Array(digits + values.byteLength);
  record.set(new TextEncoder().encode(fingerprint));
  record.set(new Uint8Array(values.buffer), digits);
  return record;
}

/** null when the record is of something else. */
function decodeScales(
  record: Uint8Array<ArrayBuffer>,
  fingerprint: string,
  channels: readonly number[],
): BlockScales | null {
  const total = channels.reduce((a, b) => a + b, 0);
  if (record.length !== digits + 4 * total) return null;
  if (new TextDecoder().decode(record.subarray(0, digits)) !== fingerprint) return null;
  const values = new Float32Array(record.slice(digits).buffer);
  let at = 0;
  return channels.map((count) => values.slice(at, (at += count)));
}
