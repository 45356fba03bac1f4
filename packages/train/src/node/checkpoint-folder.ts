import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openFile, writeFileAtomic } from '@edgedesk/tensor/node';
import { encodeCheckpoint, readCheckpoint } from '../trainer/checkpoint-format.js';
import type { Trainer } from '../trainer/trainer.js';

const namePattern = /^step-\d+\.ckpt$/;
/** What a process that was killed while writing leaves behind. */
const partialPattern = /^\.step-\d+\.ckpt\..*\.partial$/;

/** Training checkpoints of one run; the last few are kept. */
export class CheckpointFolder {
  constructor(
    private readonly folder: string,
    private readonly keep: number,
  ) {}

  /** Writes the trainer's numbers and state; returns the file. */
  async save(trainer: Trainer, fingerprint: string): Promise<string> {
    const path = join(this.folder, `step-${String(trainer.state.step).padStart(9, '0')}.ckpt`);
    await writeFileAtomic(path, ...encodeCheckpoint(trainer.arena, trainer.state, fingerprint));
    await this.#remove((await this.#list(namePattern)).slice(0, -this.keep));
    return path;
  }

  async isEmpty(): Promise<boolean> {
    return (await this.#list(namePattern)).length === 0;
  }

  /** Puts the last checkpoint into `trainer`; returns false when there is none. CheckpointError as `readCheckpoint`. */
  async restore(trainer: Trainer, fingerprint: string | null): Promise<boolean> {
    await this.#remove(await this.#list(partialPattern));
    const last = (await this.#list(namePattern)).at(-1);
    if (last === undefined) return false;
    const source = await openFile(join(this.folder, last));
    try {
      trainer.restore(await readCheckpoint(source, trainer.arena, fingerprint));
    } finally {
      await source.close();
    }
    return true;
  }

  /** Oldest first. */
  async #list(pattern: RegExp): Promise<string[]> {
    const names = await readdir(this.folder).catch(() => []);
    return names.filter((name) => pattern.test(name)).sort();
  }

  async #remove(names: readonly string[]): Promise<void> {
    for (const name of names) await rm(join(this.folder, name), { force: true });
  }
}
