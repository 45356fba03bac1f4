import { Worker } from 'node:worker_threads';
import { EdgeDeskError } from '../errors.js';
import type { Mutation } from '../mutations.case.js';

/** Far more than the slowest file takes on a busy machine. */
const hangMs = 60_000;
/** An EdgeDesk sentence is read by a person. */
const maxSentence = 600;

export interface HostileLimits {
  /** Growth of all array buffers while one file is read. */
  readonly arrayBufferBytes: number;
  /** Growth of the peak of the process's resident memory over all files. */
  readonly residentBytes: number;
}

export interface HostileOutcome {
  readonly accepted: number;
  readonly refused: number;
}

/**
 * Gives each file to `read`, which must either succeed or throw one EdgeDeskError of one sentence, within `limits`. Throws
 * for the first that does otherwise. A file that crashes the process or keeps it busy for a minute ends the process, as nothing
 * in it could be relied on; its name is printed first.
 */
export async function survive(
  files: Iterable<Mutation>,
  read: (bytes: Uint8Array<ArrayBuffer>) => Promise<unknown>,
  limits: HostileLimits,
): Promise<HostileOutcome> {
  const watch = watchdog();
  let refused = 0;
  let accepted = 0;
  const residentBefore = peakBytes();
  try {
    for (const { name, bytes } of files) {
      watch.at(name);
      const before = process.memoryUsage().arrayBuffers;
      const error = await read(bytes).then(
        () => null,
        (reason: unknown) => reason ?? new Error('nothing was thrown'),
      );
      const grown = process.memoryUsage().arrayBuffers - before;
      if (grown > limits.arrayBufferBytes) throw new Error(`${name}: array buffers grew by ${grown} bytes`);
      const resident = peakBytes() - residentBefore;
      if (resident > limits.residentBytes) throw new Error(`${name}: the process grew by ${resident} bytes`);
      if (error === null) accepted++;
      else {
        checkSentence(name, error);
        refused++;
      }
    }
  } finally {
    watch.end();
  }
  return { accepted, refused };
}

function checkSentence(name: string, error: unknown): void {
  if (!EdgeDeskError.isInstance(error)) {
    throw new Error(`${name}: ${error instanceof Error ? error.stack : String(error)}`, { cause: error });
  }
  const { sentence } = error;
  if (sentence.length > maxSentence || /[\n\r]/.test(sentence)) throw new Error(`${name}: ${sentence}`);
}

/** The process's largest resident size so far. */
function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}

/** A thread that ends the process when `at` is not called for a minute: a loop that never ends keeps all else waiting. */
function watchdog(): { at(name: string): void; end(): void } {
  const nameBytes = 200;
  const shared = new SharedArrayBuffer(4 + nameBytes);
  const turns = new Int32Array(shared, 0, 1);
  const script = `
    const { workerData } = require('node:worker_threads');
    const { writeSync } = require('node:fs');
    const turns = new Int32Array(workerData, 0, 1);
    let seen = -1;
    setInterval(() => {
      if (turns[0] !== seen) return void (seen = turns[0]);
      const name = Buffer.from(new Uint8Array(workerData, 4).slice()).toString().replace(/\\0+$/, '');
      writeSync(2, 'HANG: ' + name + '\\n');
      process.kill(process.pid, 'SIGKILL');
    }, ${hangMs});`;
  const worker = new Worker(script, { eval: true, workerData: shared });
  worker.unref();
  return {
    at(name) {
      const text = new Uint8Array(shared, 4).fill(0);
      text.set(new TextEncoder().encode(name).subarray(0, nameBytes));
      turns[0] = turns[0]! + 1;
    },
    end: () => void worker.terminate(),
  };
}
