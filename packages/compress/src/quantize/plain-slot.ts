import type { DenseFormat } from '@edgedesk/models';
import type { LinearSlot } from '../model.js';
import { denseWeight } from '../model.js';

/** A weight that stays plain floats. */
export function plainSlot(slot: LinearSlot, format: DenseFormat): LinearSlot {
  const { shape } = slot;
  return { shape, format, read: async () => ({ ...format, shape, weight: denseWeight(await slot.read()) }) };
}
