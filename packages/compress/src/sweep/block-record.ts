import type { NBitLinear } from '@edgedesk/models';
import { groupsPerRow, quantizedLinear } from '@edgedesk/models';
import { elementCount } from '@edgedesk/tensor';
import { z } from 'zod';

/** The solved linear layers of a block, and the fingerprint of everything they were made from. */
export interface BlockRecord {
  readonly fingerprint: string;
  readonly linears: ReadonlyMap<string, NBitLinear>;
}

/** Seven layers with their names and shapes. */
const maxHeaderBytes = 65_536;
const size = z
  .int()
  .min(1)
  .max(2 ** 31);

const headerSchema = z.strictObject({
  fingerprint: z.string(),
  linears: z
    .array(
      z.strictObject({
        name: z.string(),
        shape: z.tuple([size, size]),
        bits: z.union([z.literal(2), z.literal(4), z.literal(8)]),
        levelBits: z.union([z.literal(2), z.literal(3)]).optional(),
        groupSize: size,
        asymmetric: z.boolean(),
      }),
    )
    .max(64),
});

/** Header length u32, header JSON, then for each layer levels u8, scales f32 and, when asymmetric, zero points u8. */
export function encodeBlockRecord({ fingerprint, linears }: BlockRecord): Uint8Array<ArrayBuffer> {
  const header = new TextEncoder().encode(
    JSON.stringify({
      fingerprint,
      linears: [...linears].map(([name, { shape, bits, levelBits, groupSize, zeroPoints }]) => {
        return { name, shape, bits, levelBits, groupSize, asymmetric: zeroPoints !== undefined };
      }),
    }),
  );
  const parts = [...linears.values()].flatMap(({ levels, scales, zeroPoints }) => {
    const bytes = new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength);
    return [levels, bytes, ...(zeroPoints ? [zeroPoints] : [])];
  });
  const record = new Uint8Array(4 + header.length + parts.reduce((sum, part) => sum + part.length, 0));
  new DataView(record.buffer).setUint32(0, header.length, true);
  record.set(header, 4);
  let at = 4 + header.length;
  for (const part of parts) {
    record.set(part, at);
    at += part.length;
  }
  return record;
}

/** The record in `bytes`; null when it is none, so that the block is solved again. */
export function decodeBlockRecord(bytes: Uint8Array<ArrayBuffer>): BlockRecord | null {
  if (bytes.length < 4) return null;
  const headerLength = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (headerLength > Math.min(maxHeaderBytes, bytes.length - 4)) return null;
  const header = parseHeader(bytes.subarray(4, 4 + headerLength));
  if (header === null) return null;
  const linears = new Map<string, NBitLinear>();
  let at = 4 + headerLength;
  const take = (length: number): Uint8Array<ArrayBuffer> => bytes.slice(at, (at += length));
  for (const { name, shape, bits, levelBits, groupSize, asymmetric } of header.linears) {
    const groups = shape[0] * groupsPerRow(shape[1], groupSize);
    if (at + elementCount(shape) + groups * (asymmetric ? 5 : 4) > bytes.length) return null;
    // In the order of the bytes: levels, scales, zero points.
    const levels = take(elementCount(shape));
    const scales = new Float32Array(take(groups * 4).buffer);
    const grids = { scales, ...(asymmetric ? { zeroPoints: take(groups) } : {}) };
    linears.set(name, quantizedLinear(shape, { bits, levelBits, groupSize }, levels, grids));
  }
  return at === bytes.length ? { fingerprint: header.fingerprint, linears } : null;
}

function parseHeader(bytes: Uint8Array): z.infer<typeof headerSchema> | null {
  try {
    return headerSchema.safeParse(JSON.parse(new TextDecoder('utf-8').decode(bytes))).data ?? null;
  } catch {
    return null;
  }
}
