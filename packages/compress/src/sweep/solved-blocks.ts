import type { NBitLinear, Sha256 } from '@edgedesk/models';
import { linearRoles, weightName } from '@edgedesk/models';
import type { Model } from '../model.js';
import type { BlockRecord } from './block-record.js';
import { decodeBlockRecord, encodeBlockRecord } from './block-record.js';
import { fingerprintOf } from './fingerprint.js';
import type { Workspace } from './workspace.js';

/** Raise when the same inputs give other bytes. */
const sweepVersion = 1;

/**
 * The solved blocks of one sweep in its workspace. Blocks come in order: each one's fingerprint is that of the block
 * before and of its own weights, so that a block is taken over only when everything up to it is the same.
 */
export class SolvedBlocks {
  private fingerprint: string;
  private held: { readonly layer: number; readonly record: BlockRecord | null } | null = null;

  /** `settings` and `data` are everything, beside the blocks' weights, that decides the numbers. */
  constructor(
    private readonly model: Model,
    private readonly workspace: Workspace,
    private readonly sha256: () => Sha256,
    settings: unknown,
    data: readonly (Float32Array | Int32Array)[],
  ) {
    this.fingerprint = fingerprintOf(sha256, JSON.stringify([sweepVersion, model.config, settings]), data);
  }

  /** Takes the next block's weights into account and returns its layers when the workspace has them. */
  async next(
    layer: number,
    weights: ReadonlyMap<string, Float32Array>,
  ): Promise<ReadonlyMap<string, NBitLinear> | null> {
    this.fingerprint = fingerprintOf(this.sha256, this.fingerprint, weights.values());
    const record = await this.load(layer);
    if (record?.fingerprint !== this.fingerprint) return null;
    const fits = linearRoles.every((role) => {
      const name = weightName.linear(layer, role);
      return record.linears.get(name)?.shape.join() === this.model.linears.get(name)!.shape.join();
    });
    return fits ? record.linears : null;
  }

  /** Keeps the layers of the block that `next` did not find. */
  async save(layer: number, linears: ReadonlyMap<string, NBitLinear>): Promise<void> {
    const { fingerprint } = this;
    await this.workspace.write(`block-${layer}`, encodeBlockRecord({ fingerprint, linears }));
  }

  /** A layer that was solved; those of one block come from one read. */
  async linear(layer: number, name: string): Promise<NBitLinear> {
    if (this.held?.layer !== layer) this.held = { layer, record: await this.load(layer) };
    const linear = this.held.record?.linears.get(name);
    if (!linear) throw new Error(`the workspace lost ${name}`);
    return linear;
  }

  private async load(layer: number): Promise<BlockRecord | null> {
    const bytes = await this.workspace.read(`block-${layer}`);
    return bytes && decodeBlockRecord(bytes);
  }
}
