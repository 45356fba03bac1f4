import type { LinearFormat } from '@edgedesk/models';
import type { LinearSlot } from '../model.js';
import { denseWeight } from '../model.js';

/** A weight that stays plain floats, of 16 or 32 bits. */
export function plainSlot(slot: LinearSlot, bits: 16 | 32): LinearSlot {
  const format: LinearFormat = { kind: 'dense', storage: bits === 16 ? 'f16' : 'f32' };
  const { shape } = slot;
  return { shape, format, read: async () => ({ ...format, shape, weight: denseWeight(await slot.read()) }) };
}
