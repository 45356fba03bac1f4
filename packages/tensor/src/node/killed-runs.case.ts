import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * A program that prints a number and a line feed wherever it gets to. The numbers grow with the work that is done, so that a
 * run that goes on where another stopped does not begin at 0 again.
 */
export interface MeteredProgram {
  /** An ES module. */
  readonly script: string;
  /** Folder that its imports are found from. */
  readonly cwd: string;
}

/** `delayMs` after the program first printed `place` or more; -1 is its start. */
interface Moment {
  readonly place: number;
  readonly delayMs: number;
}

interface Life {
  /** Null when the program came to its end by itself. */
  readonly signal: string | null;
  /** Places in the order they were reached, the start first, and when: milliseconds from the start. */
  readonly marks: readonly { readonly place: number; readonly atMs: number }[];
  readonly lengthMs: number;
}

export interface KilledRuns {
  /** What ended each run that was to be killed: `SIGKILL`, or null for one that was over before. */
  readonly ends: readonly (string | null)[];
  /** How far each of them had come, for the message of a failing test. */
  readonly places: readonly number[];
}

/**
 * Runs `straight` to its end, then `broken` with kill -9 at `kills` random moments, one in each part of the measured length
 * (loading included), and at last to its end. A moment is held as a place in the work and a delay after it: the machine may
 * be faster or slower than it was in the straight run.
 */
export async function runAndKill(
  straight: MeteredProgram,
  broken: MeteredProgram,
  kills: number,
): Promise<KilledRuns> {
  const whole = await live(straight);
  const lives: Life[] = [];
  for (let i = 0; i < kills; i++) {
    lives.push(await live(broken, momentAt(whole, (i + Math.random()) / kills)));
  }
  await live(broken);
  return {
    ends: lives.map(({ signal }) => signal),
    places: lives.map(({ marks }) => marks.at(-1)!.place),
  };
}

/** The moment after this share of a life. */
function momentAt({ marks, lengthMs }: Life, share: number): Moment {
  const atMs = share * lengthMs;
  const last = marks.findLast((mark) => mark.atMs <= atMs)!;
  // After the last place nothing tells how far the end is, and a machine that is no longer shared gets there many times faster.
  const scale = last === marks.at(-1) ? 0.05 : 1;
  return { place: last.place, delayMs: scale * (atMs - last.atMs) };
}

async function live({ script, cwd }: MeteredProgram, killAt?: Moment): Promise<Life> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const marks: { place: number; atMs: number }[] = [];
  let timer: NodeJS.Timeout | undefined;
  const reach = (place: number): void => {
    marks.push({ place, atMs: performance.now() - startedAt });
    if (killAt === undefined || timer !== undefined || place < killAt.place) return;
    timer = setTimeout(() => child.kill('SIGKILL'), killAt.delayMs);
  };
  reach(-1);
  let rest = '';
  let complaint = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) reach(Number(line));
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  clearTimeout(timer);
  if (signal === null && code !== 0) throw new Error(`the program failed with code ${code}: ${complaint}`);
  return { signal, marks, lengthMs: performance.now() - startedAt };
}
