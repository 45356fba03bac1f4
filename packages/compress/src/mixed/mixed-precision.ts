import { weightName } from '@edgedesk/models';
import { z } from 'zod';
import { denseWeight, parameterCount } from '../model.js';
import type { Model } from '../model.js';
import { definePass } from '../pass.js';
import type { Pass } from '../pass.js';
import { gptqPass, scaleSearchPass, sweepContext } from '../quantize/calibrated.js';
import { roundToNearestPass } from '../quantize/round-to-nearest.js';
import type { WeightFormat } from '../quantize/settings.js';
import { weightFormat } from '../quantize/settings.js';
import type { GroupMethod } from '../quantize/solve-in-format.js';
import { fingerprintOf } from '../sweep/fingerprint.js';
import { readBlock } from '../sweep/read-block.js';
import type { SweepContext } from '../sweep/sweep.js';
import { assignFormats } from './assign-formats.js';
import type { SensitivityOptions } from './measure-sensitivity.js';
import { measureSensitivity } from './measure-sensitivity.js';
import type { Sensitivity } from './sensitivity.js';
import { checkSensitivity, sensitivitySchema } from './sensitivity.js';

/**
 * Formats worth having at some size: what MatMulNBits stores, from 2.25 to 8.5 bits a weight. At 2 bits zero points gain
 * next to nothing over scales of either sign, and 3 bits in the 4-bit container lose to 4 of the same size.
 */
export const mixedFormats: readonly WeightFormat[] = [
  { bits: 2, groupSize: 64, asymmetric: false },
  { bits: 2, groupSize: 32, asymmetric: false },
  { bits: 4, groupSize: 128, asymmetric: false },
  { bits: 4, groupSize: 64, asymmetric: false },
  { bits: 4, groupSize: 32, asymmetric: false },
  { bits: 4, groupSize: 32, asymmetric: true },
  { bits: 8, groupSize: 128, asymmetric: false },
  { bits: 8, groupSize: 32, asymmetric: false },
];

/** Enough tokens to tell layers apart. */
export const defaultProbeTokens = 512;
const maxProbeTokens = 2 ** 16;
const maxBudgetBytes = 2 ** 50;

const settings = z
  .strictObject({
    method: z.enum(['rtn', 'search', 'gptq']).default('gptq'),
    /** Bytes of the model and its external data. */
    targetBytes: z.int().min(1).max(maxBudgetBytes).optional(),
    /** The same, divided by the number of weights: everything that is stored counts. */
    bitsPerWeight: z.number().positive().max(32).optional(),
    formats: z
      .array(weightFormat)
      .min(1)
      .max(32)
      .default([...mixedFormats]),
    probeTokens: z.int().min(16).max(maxProbeTokens).default(defaultProbeTokens),
    /** Measured before; the formats are those in it. */
    sensitivity: sensitivitySchema.optional(),
  })
  .refine((s) => (s.targetBytes === undefined) !== (s.bitsPerWeight === undefined), {
    path: ['targetBytes'],
    message: 'Give either this or bitsPerWeight',
  });

const methodPasses: Readonly<Record<GroupMethod, Pass>> = {
  rtn: roundToNearestPass,
  search: scaleSearchPass,
  gptq: gptqPass,
};

/** Each weight in the format that suits it, within a budget of bytes; then all are quantized by one method. */
export const mixedPrecisionPass = definePass({
  name: 'mixed-precision',
  settings,
  needs: 'calibration',
  async apply(model, { method, targetBytes, bitsPerWeight, formats, probeTokens, sensitivity }, context) {
    const parameters = parameterCount(model.config);
    const budget = targetBytes ?? Math.floor((bitsPerWeight! * parameters) / 8);
    const where = targetBytes === undefined ? `${bitsPerWeight} bits a weight` : `${targetBytes} bytes`;
    const sweep = sweepContext('mixed-precision', context);
    if (sensitivity) checkSensitivity(sensitivity, model.config, 'sensitivity');
    const measured = sensitivity ?? (await sensitivityOf(model, { method, formats, probeTokens }, sweep));
    const assignment = assignFormats(measured, model.config, budget, where);
    const step = {
      step: 'mixed-precision',
      settings: {
        method,
        ...(targetBytes === undefined ? { bitsPerWeight: bitsPerWeight! } : { targetBytes }),
        expectedKl: assignment.kl,
      },
    };
    const planned = { ...model, provenance: [...model.provenance, step] };
    return methodPasses[method].apply(planned, { bits: 4, formats: assignment.formats }, context);
  },
});

/** Raise when the same model and text give other measurements. */
const measureVersion = 2;
const recordName = 'sensitivity';

/** Measures a model's sensitivity, or takes it from the workspace when it was measured there on the same. */
export async function sensitivityOf(
  model: Model,
  options: SensitivityOptions,
  context: SweepContext,
): Promise<Sensitivity> {
  const fingerprint = await measurementOf(model, options, context);
  const known = await context.workspace.read(recordName);
  const record = known && parseRecord(known);
  if (record?.fingerprint === fingerprint) return record.sensitivity;
  const sensitivity = await measureSensitivity(model, options, context);
  const json = JSON.stringify({ fingerprint, sensitivity });
  await context.workspace.write(recordName, new TextEncoder().encode(json));
  return sensitivity;
}

const recordSchema = z.object({ fingerprint: z.string(), sensitivity: sensitivitySchema });

function parseRecord(bytes: Uint8Array): z.output<typeof recordSchema> | null {
  try {
    return recordSchema.safeParse(JSON.parse(new TextDecoder().decode(bytes))).data ?? null;
  } catch {
    return null;
  }
}

/** Of everything that decides the measurements: settings, text and every weight. */
async function measurementOf(
  model: Model,
  options: SensitivityOptions,
  { calibration, backend, threads, sha256, signal }: SweepContext,
): Promise<string> {
  const { ids, segments, seq } = calibration;
  const decisive = [measureVersion, model.config, options, seq, backend.name, threads ?? backend.cores];
  let fingerprint = fingerprintOf(sha256, JSON.stringify(decisive), [ids, segments]);
  for (const name of [weightName.embedding, weightName.head]) {
    const slot = model.linears.get(name);
    if (slot) fingerprint = fingerprintOf(sha256, fingerprint, [denseWeight(await slot.read())]);
  }
  for (let layer = 0; layer < model.config.layerCount; layer++) {
    signal?.throwIfAborted();
    fingerprint = fingerprintOf(sha256, fingerprint, (await readBlock(model, layer)).values());
  }
  return fingerprint;
}
