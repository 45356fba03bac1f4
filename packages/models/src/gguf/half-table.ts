import { f16ToF32 } from '@edgedesk/tensor';

let table: Float32Array | undefined;

/** The value of every binary16 number, by its bits: each block begins with one or two. */
export function halfTable(): Float32Array {
  table ??= f16ToF32(Uint16Array.from({ length: 65536 }, (_, bits) => bits));
  return table;
}
