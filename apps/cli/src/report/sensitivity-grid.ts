import type { Sensitivity } from '@edgedesk/compress';
import type { LinearRole } from '@edgedesk/models';
import { linearRoles, weightName } from '@edgedesk/models';

/** Measured divergences as a table: a row a block, a column a layer, and the weights outside the blocks. */
export interface SensitivityGrid {
  readonly roles: readonly LinearRole[];
  /** KL by block and role, in the roles' order. */
  readonly blocks: readonly (readonly number[])[];
  readonly outer: readonly {
    readonly name: 'embedding' | 'head';
    readonly kl: number;
    readonly bits: number;
  }[];
  /** Bits at which the layers were measured. */
  readonly bits: number;
}

export function sensitivityGrid({ weights }: Sensitivity): SensitivityGrid {
  const measured = new Map(weights.map((weight) => [weight.name, weight.measured]));
  const blocks: number[][] = [];
  while (measured.has(weightName.linear(blocks.length, 'q'))) {
    const layer = blocks.length;
    blocks.push(linearRoles.map((role) => measured.get(weightName.linear(layer, role))?.kl ?? 0));
  }
  const outer = (['embedding', 'head'] as const).flatMap((name) => {
    const found = measured.get(weightName[name]);
    return found ? [{ name, ...found }] : [];
  });
  return { roles: linearRoles, blocks, outer, bits: measured.get(weightName.linear(0, 'q'))?.bits ?? 0 };
}
